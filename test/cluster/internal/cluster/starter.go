package cluster

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

// pollPeriod is how often a start looks again at what it waits for.
const pollPeriod = 100 * time.Millisecond

// starter is one start of a cluster, or of a part of one that is up.
type starter struct {
	*Cluster
	state    *state
	binaries map[string]string
}

// start runs a built binary as a daemon of the cluster.
func (s *starter) start(binary string, args []string) error {
	return s.startSpec(machine.Spec{Name: binary, Path: s.binaries[binary], Args: args})
}

// startSpec starts a daemon, in the node's network namespace unless it has another, and remembers it.
func (s *starter) startSpec(spec machine.Spec) error {
	spec.NetNS, spec.Cgroup = cmp.Or(spec.NetNS, s.netNS()), s.cgroup()
	spec.Log = s.path("logs", spec.Name+".log")
	process, err := machine.Start(spec)
	if err != nil {
		return err
	}
	return s.state.update(func() { s.state.Processes = append(s.state.Processes, process) })
}

// wait tries until it works. It gives up when the context ends or as soon as a daemon is gone, with the reason.
func (s *starter) wait(ctx context.Context, what string, try func(context.Context) error) error {
	ticker := time.NewTicker(pollPeriod)
	defer ticker.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if dead := s.state.dead(); dead != nil {
			return fmt.Errorf("waiting for %s: %w", what, dead)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w; last: %w; logs are in %s", what, context.Cause(ctx), err, s.logs())
		case <-ticker.C:
		}
	}
}

// apiServerReady queries the API server through the forwarder, as users do.
func (s *starter) apiServerReady(ctx context.Context) error {
	return s.get(ctx, s.state.HostPort, "/readyz")
}

// get queries the API server on the host's loopback as the administrator.
func (c *Cluster) get(ctx context.Context, hostPort int, path string) error {
	client, err := c.apiClient()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	url := fmt.Sprintf("https://127.0.0.1:%d%s", hostPort, path)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, response.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

// apiClient trusts the cluster's authority and shows the certificate that the kubelet trusts too, of the administrators.
func (c *Cluster) apiClient() (*http.Client, error) {
	ca, err := os.ReadFile(c.pki("ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	name := c.pki("kube-apiserver-kubelet-client")
	pair, err := tls.LoadX509KeyPair(name+".crt", name+".key")
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		}},
	}, nil
}

// kubectl runs kubectl as the administrator, with input on its standard input, and returns what it printed.
func (s *starter) kubectl(ctx context.Context, input string, args ...string) (string, error) {
	return s.Cluster.kubectl(ctx, s.state, input, args...)
}

func (c *Cluster) kubectl(ctx context.Context, s *state, input string, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	// The next cluster has another port, so what kubectl remembers of this one is of no use in the user's home.
	global := []string{"--kubeconfig", c.nodeKubeconfig("admin"), "--cache-dir", c.path("run", "kubectl")}
	cmd := exec.CommandContext(ctx, s.Kubectl, append(global, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// waitFor waits until the condition of an object is true. The object may not exist yet.
func (s *starter) waitFor(ctx context.Context, object, namespace, condition string) error {
	what := fmt.Sprintf("%s in %s to be %s", object, namespace, condition)
	return s.wait(ctx, what, func(ctx context.Context) error {
		path := fmt.Sprintf(`{.status.conditions[?(@.type==%q)]}`, condition)
		out, err := s.kubectl(ctx, "", "get", object, "--namespace", namespace, "--output", "jsonpath="+path)
		if err != nil {
			return err
		}
		if !strings.Contains(out, `"status":"True"`) {
			return errors.New(out)
		}
		return nil
	})
}
