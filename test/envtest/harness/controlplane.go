// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package harness is what the suites of test/envtest share: a real kube-apiserver with etcd, the operator, and small stand-ins
// for what is not there. There is no kube-controller-manager, kubelet or Prometheus, so a test says itself when a Deployment's
// pods run, when an endpoint appears and what an aggregated server answers, or has Pods play it. The operator has to draw its
// conclusions from the same objects as in a real cluster.
package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

const (
	// PodNetwork has the addresses of the backends. Like ServiceNetwork it is reserved for tests of network devices (RFC
	// 2544), so nothing on any host is hidden by it.
	PodNetwork = "198.18.0.0/16"
	// APIServerAddress is where Endpoints say that the API server is.
	APIServerAddress = "198.18.0.1"
	// ServiceNetwork has the addresses of Services.
	ServiceNetwork = "198.19.0.0/24"

	assetsEnv = "KUBEBUILDER_ASSETS"
)

// Scheme knows every type that stories use.
var Scheme = newScheme()

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextv1.AddToScheme, apiregv1.AddToScheme, monitoringv1.AddToScheme, monitoringv1alpha1.AddToScheme,
		certmanagerv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
	return scheme
}

// controlPlanes is how many this process has started.
var controlPlanes atomic.Int32

// Cluster is one control plane.
type Cluster struct {
	// Config is an administrator's configuration.
	Config *rest.Config
	// Client is an administrator's client. It reads from the API server, not from a cache.
	Client client.Client
	// InstallWarnings are what the API server said about config/.
	InstallWarnings []string

	environment *envtest.Environment
	dir         string
	// number distinguishes the control planes of this process.
	number int32

	mutex sync.Mutex
	// operator is the configuration of the operator's clients, once it has been made.
	operator *rest.Config
}

// CheckAssets fails if the binaries of the control plane are missing, before anything is started.
func CheckAssets() error {
	assets := os.Getenv(assetsEnv)
	if assets == "" {
		return fmt.Errorf("%s is not set: run `make test-envtest`, which builds kube-apiserver, etcd and kubectl and sets it", assetsEnv)
	}
	for _, name := range []string{"kube-apiserver", "etcd", "kubectl"} {
		if _, err := os.Stat(filepath.Join(assets, name)); err != nil {
			return fmt.Errorf("%s=%s has no %s: run `make test-envtest`, which builds it: %w", assetsEnv, assets, name, err)
		}
	}
	return nil
}

// StartCluster starts kube-apiserver and etcd. Without aggregation the API server gets no request header CA, as in a
// cluster whose aggregation layer was never set up.
func StartCluster(aggregation bool) (*Cluster, error) {
	dir, err := os.MkdirTemp("", "control-plane-")
	if err != nil {
		return nil, err
	}
	cluster := &Cluster{dir: dir, number: controlPlanes.Add(1), environment: &envtest.Environment{
		Scheme:                   Scheme,
		BinaryAssetsDirectory:    os.Getenv(assetsEnv),
		ControlPlaneStartTimeout: time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}}
	args := cluster.environment.ControlPlane.GetAPIServer().Configure()
	args.Set("service-cluster-ip-range", ServiceNetwork)
	if HasPodNetwork() {
		// It would look for a default route.
		args.Set("advertise-address", APIServerAddress)
	}
	if aggregation {
		proxy, err := newFrontProxy(dir)
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		for flag, value := range proxy.flags() {
			args.Set(flag, value)
		}
	}
	// A quarter of its processor time is garbage collection, which more memory makes rarer. It inherits the environment.
	if os.Getenv("GOGC") == "" {
		if err := os.Setenv("GOGC", "200"); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	if cluster.Config, err = cluster.environment.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the control plane: %w", err), cluster.Stop())
	}
	if cluster.Client, err = client.New(cluster.Config, client.Options{Scheme: Scheme}); err != nil {
		return nil, errors.Join(err, cluster.Stop())
	}
	return cluster, nil
}

// PodAddress returns an address of PodNetwork that no other control plane of this process is given.
func (c *Cluster) PodAddress(host byte) string { return fmt.Sprintf("198.18.%d.%d", c.number, host) }

// Stop ends the control plane and removes its files.
func (c *Cluster) Stop() error {
	return errors.Join(c.environment.Stop(), os.RemoveAll(c.dir))
}

// Kubectl runs kubectl as an administrator and returns what it prints.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	file := filepath.Join(c.dir, "kubeconfig")
	if err := os.WriteFile(file, c.environment.KubeConfig, 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(os.Getenv(assetsEnv), "kubectl"), append([]string{"--kubeconfig", file}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %v: %w: %s", args, err, out)
	}
	return string(out), nil
}
