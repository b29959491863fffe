// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager runs the MetricsPipeline operator.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/controller"
)

// version is set at build time.
var version = "dev"

type flags struct {
	namespace      string
	metricsAddress string
	metricsCertDir string
	healthAddress  string
	leaderElect    bool
}

func main() {
	var f flags
	flag.StringVar(&f.namespace, "namespace", os.Getenv("POD_NAMESPACE"),
		"Namespace of the operator, in which the components run; by default the environment variable POD_NAMESPACE.")
	flag.StringVar(&f.metricsAddress, "metrics-bind-address", ":8443",
		"Address of the metrics endpoint (https, with authentication); 0 turns it off.")
	flag.StringVar(&f.metricsCertDir, "metrics-cert-dir", "",
		"Folder with tls.crt and tls.key of the metrics endpoint, read again when they change; else its certificate is self-signed.")
	flag.StringVar(&f.healthAddress, "health-probe-bind-address", ":8081", "Address of the health probes.")
	flag.BoolVar(&f.leaderElect, "leader-elect", false, "Take part in leader election, so that one of several replicas is active.")
	logOptions := zap.Options{}
	logOptions.BindFlags(flag.CommandLine)
	flag.Parse()

	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&logOptions)))
	if limit := goMemoryLimit(os.Getenv); limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	if err := run(f); err != nil {
		ctrl.Log.Error(err, "The operator ended")
		os.Exit(1)
	}
}

// modernTLS admits what the components do as well: TLS 1.2 and newer, with suites that authenticate what they encrypt.
func modernTLS(config *tls.Config) {
	config.MinVersion = tls.VersionTLS12
	config.CipherSuites = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}

func run(f flags) error {
	if f.namespace == "" {
		return fmt.Errorf("--namespace is empty: set it, or the environment variable POD_NAMESPACE, to the operator's namespace")
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiregv1.AddToScheme, monitoringv1.AddToScheme, monitoringv1alpha1.AddToScheme,
		certmanagerv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("build the scheme: %w", err)
		}
	}
	certificate, err := newServing(f.metricsCertDir)
	if err != nil {
		return err
	}
	watches := controller.NewWatches()
	mgr, err := ctrl.NewManager(ctrl.GetConfigOrDie(), ctrl.Options{
		Scheme:   scheme,
		Cache:    controller.CacheOptions(f.namespace),
		NewCache: watches.NewCache(nil),
		// A request of discovery has no deadline of its own.
		MapperProvider: controller.Mapper,
		Metrics: metricsserver.Options{
			BindAddress:    f.metricsAddress,
			SecureServing:  true,
			FilterProvider: filters.WithAuthenticationAndAuthorization,
			TLSOpts:        []func(*tls.Config){modernTLS, certificate.use},
		},
		HealthProbeBindAddress:        f.healthAddress,
		LeaderElection:                f.leaderElect,
		LeaderElectionID:              "metricspipeline-operator",
		LeaderElectionNamespace:       f.namespace,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	operator, err := controller.Setup(mgr, controller.Options{Namespace: f.namespace, Version: version, Watches: watches,
		Images: controller.ImagesFrom(os.Getenv)})
	if err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("healthz", func(*http.Request) error { return operator.Alive() }); err != nil {
		return fmt.Errorf("add the probe healthz: %w", err)
	}
	if err := mgr.AddReadyzCheck("readyz", func(*http.Request) error { return operator.Ready() }); err != nil {
		return fmt.Errorf("add the probe readyz: %w", err)
	}
	return mgr.Start(ctrl.SetupSignalHandler())
}
