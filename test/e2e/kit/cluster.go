// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kit is what the end-to-end suite, the demo and the benchmarks share: it connects to the cluster of
// KUBECONFIG, installs the operator from dist/install.yaml, deploys the sample application, steers its load and waits for what
// comes of it.
package kit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/go-logr/logr"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
)

// FieldOwner is the field manager of what the kit applies.
const FieldOwner = "metricspipeline-e2e"

// Cluster is a connection to a cluster.
type Cluster struct {
	// Client reads and writes objects. It has no cache: what it reads is what the API server has.
	Client client.WithWatch
	// Kube is for what Client does not do: logs, requests through the API server's proxy, discovery.
	Kube kubernetes.Interface
	// Root is the folder of the repository.
	Root string
}

// Connect opens the cluster that KUBECONFIG names.
func Connect() (*Cluster, error) {
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())

	path := os.Getenv("KUBECONFIG")
	if path == "" {
		return nil, errors.New("KUBECONFIG is not set: use `make test-e2e`, `make demo` or `make bench`, or " +
			"start a cluster with `make cluster-up` and set KUBECONFIG to what `bin/cluster kubeconfig` prints")
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("read KUBECONFIG=%s: %w", path, err)
	}
	// The client's own rate limit would be measured and waited for; the API server has one.
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}

	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextv1.AddToScheme, apiregv1.AddToScheme, monitoringv1.AddToScheme, monitoringv1alpha1.AddToScheme,
		certmanagerv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
	c := &Cluster{}
	if c.Client, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return nil, fmt.Errorf("connect to the cluster of KUBECONFIG=%s: %w", path, err)
	}
	if c.Kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if c.Root, err = findRoot(); err != nil {
		return nil, err
	}
	return c, nil
}

// findRoot walks up from the working folder, which is the package's in a test and anything in `go run`.
func findRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "PROJECT")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside the repository: no folder above it has a file PROJECT", start)
		}
	}
}

// Kubectl runs kubectl as a user would, and returns what it prints. The error has what it prints on stderr.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "kubectl", args...)
	command.Dir = c.Root
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// Get answers a GET request for an absolute path of the API server, such as a metric's. The error has the answer.
func (c *Cluster) Get(ctx context.Context, path string) ([]byte, error) {
	var code int
	answer, err := c.Kube.CoreV1().RESTClient().Get().RequestURI(path).Do(ctx).StatusCode(&code).Raw()
	if err != nil {
		return nil, fmt.Errorf("GET %s: %d: %w: %s", path, code, err, answer)
	}
	return answer, nil
}
