package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/metricspipeline/operator/test/cluster/internal/components"
	"github.com/metricspipeline/operator/test/cluster/internal/machine"
	"github.com/metricspipeline/operator/test/cluster/internal/pki"
)

// rotationTimeout bounds a rotation. The API server sees a changed file at once, and looks once a minute in any case.
const rotationTimeout = 4 * time.Minute

const (
	// trustedConfigMap says to aggregated servers whose certificates may speak for users, under trustedKey.
	trustedConfigMap = "extension-apiserver-authentication"
	trustedKey       = "requestheader-client-ca-file"
	// newPairLogged is what the API server logs when it has a new certificate to show to aggregated servers.
	newPairLogged = `Loaded a new cert/key pair" name="aggregator-proxy-cert::`
)

// RotateFrontProxy replaces the authority and the client certificate by which aggregated servers know the API server, as
// an administrator would: first the new authority is trusted beside the old one, then the new client certificate is used,
// then the old authority is trusted no more. Each step waits until every server has followed. It restarts nothing.
func (c *Cluster) RotateFrontProxy(ctx context.Context) error {
	s, err := c.running("fault rotate-front-proxy")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, rotationTimeout)
	defer cancel()
	// A lock of its own: down must not have to wait for a rotation.
	unlock, err := machine.LockFile(c.path("run", "front-proxy.lock"), func() { c.log("waiting for another rotation") })
	if err != nil {
		return err
	}
	defer unlock()
	// What a rotation that was cut off has left, two authorities maybe, is the old one like any other.
	oldCA, err := pki.Read(c.path("pki"), frontProxyCAFile)
	if err != nil {
		return err
	}
	oldClient, err := pki.Read(c.path("pki"), frontProxyClient)
	if err != nil {
		return err
	}
	ca, err := pki.NewCA(frontProxyCAName)
	if err != nil {
		return err
	}
	client, err := ca.Issue(pki.Request{CommonName: frontProxyClient})
	if err != nil {
		return err
	}
	if err := s.trustFrontProxy(ctx, slices.Concat(ca.Pair().Certificate, oldCA.Certificate), ca, client); err != nil {
		return err
	}
	c.log("the API server and aggregated servers trust the new authority too")
	if err := s.useFrontProxy(ctx, client); err != nil {
		return err
	}
	c.log("the API server shows its new certificate")
	if err := s.distrustFrontProxy(ctx, ca.Pair(), oldClient); err != nil {
		return err
	}
	c.log("no server trusts the old authority any more")
	return nil
}

// trustFrontProxy has the bundle trusted, and waits until the new client would be believed by every server.
func (s *starter) trustFrontProxy(ctx context.Context, bundle []byte, ca *pki.CA, client pki.Pair) error {
	if err := (pki.Pair{Certificate: bundle, Key: ca.Pair().Key}).Write(s.path("pki"), frontProxyCAFile); err != nil {
		return err
	}
	return s.wait(ctx, "the new authority to be trusted", func(ctx context.Context) error {
		return s.allBelieve(ctx, client, true)
	})
}

// useFrontProxy has the API server show a new certificate, and waits until it says that it does.
func (s *starter) useFrontProxy(ctx context.Context, client pki.Pair) error {
	apiServer, err := s.state.process(components.KubeAPIServer)
	if err != nil {
		return err
	}
	before, err := os.Stat(apiServer.Log)
	if err != nil {
		return err
	}
	if err := client.Write(s.path("pki"), frontProxyClient); err != nil {
		return err
	}
	return s.wait(ctx, "the API server to take its new certificate", func(context.Context) error {
		file, err := os.Open(apiServer.Log)
		if err != nil {
			return err
		}
		defer file.Close()
		added, err := io.ReadAll(io.NewSectionReader(file, before.Size(), 1<<30))
		if err == nil && !strings.Contains(string(added), newPairLogged) {
			err = errors.New("its log does not say so")
		}
		return err
	})
}

// distrustFrontProxy has only the new authority trusted, and waits until no server believes the old client any more. The API
// server keeps in its ConfigMap what was there, for the sake of other API servers: what goes has to be taken out.
func (s *starter) distrustFrontProxy(ctx context.Context, ca, oldClient pki.Pair) error {
	if err := ca.Write(s.path("pki"), frontProxyCAFile); err != nil {
		return err
	}
	return s.wait(ctx, "the old authority to be distrusted", func(ctx context.Context) error {
		// Before it has forgotten the old one itself it would put it back.
		if err := s.believe(ctx, apiServerPeer, oldClient, false); err != nil {
			return err
		}
		if err := s.trustOnly(ctx, ca.Certificate); err != nil {
			return err
		}
		return s.allBelieve(ctx, oldClient, false)
	})
}

// trustOnly writes what aggregated servers read, if it says anything else.
func (s *starter) trustOnly(ctx context.Context, certificate []byte) error {
	namespace := []string{"--namespace", "kube-system"}
	out, err := s.kubectl(ctx, "", append([]string{"get", "configmap", trustedConfigMap, "--output", "json"}, namespace...)...)
	if err != nil {
		return err
	}
	var found struct{ Data map[string]string }
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		return fmt.Errorf("reading ConfigMap %s: %w", trustedConfigMap, err)
	}
	if strings.TrimSpace(found.Data[trustedKey]) == strings.TrimSpace(string(certificate)) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"data": map[string]string{trustedKey: string(certificate)}})
	if err != nil {
		return err
	}
	_, err = s.kubectl(ctx, "", append([]string{"patch", "configmap", trustedConfigMap, "--type=merge", "--patch", string(patch)},
		namespace...)...)
	return err
}
