// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// environment is what a command works with. Tests replace parts of it.
type environment struct {
	genericiooptions.IOStreams
	flags   *genericclioptions.ConfigFlags
	version string

	// config of the API server, and a client of it; both are made when they are first needed: not every command needs a cluster.
	config func() (*rest.Config, error)
	client func() (client.Client, error)
	// diagnoser looks at HPAs through a client, and asks Prometheus at a URL, or through the API server.
	diagnoser func(ctx context.Context, c client.Client, direct string) (diagnoser, error)
	now       func() time.Time
	// pause waits between two looks; its error is the context's.
	pause func(context.Context, time.Duration) error
}

func newEnvironment(version string, streams genericiooptions.IOStreams) *environment {
	env := &environment{
		IOStreams: streams,
		flags:     genericclioptions.NewConfigFlags(false),
		version:   version,
		now:       time.Now,
		pause: func(ctx context.Context, wait time.Duration) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
				return nil
			}
		},
	}
	env.flags.CacheDir = nil // Nothing is cached on disk.
	env.config = env.restConfig
	env.diagnoser = env.newDiagnoser
	env.client = func() (client.Client, error) {
		config, err := env.config()
		if err != nil {
			return nil, err
		}
		c, err := client.New(config, client.Options{Scheme: scheme()})
		if err != nil {
			return nil, fmt.Errorf("make a client of the API server %s: %w", config.Host, err)
		}
		return c, nil
	}
	return env
}

func (e *environment) restConfig() (*rest.Config, error) {
	config, err := e.flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w; set --kubeconfig, --context or KUBECONFIG", err)
	}
	// Who looks once is not to wait for a rate limit: the API server's own priority and fairness protects it.
	config.QPS, config.Burst = 50, 100
	config.UserAgent = Program + "/" + e.version
	config.WarningHandler = rest.NoWarnings{}
	return config, nil
}

// namespace is that of -n, or of the kubeconfig's context.
func (e *environment) namespace() (string, error) {
	namespace, _, err := e.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", fmt.Errorf("read the kubeconfig: %w; set --kubeconfig, --context or KUBECONFIG", err)
	}
	return namespace, nil
}

// scheme has the kinds that commands read.
func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiregv1.AddToScheme, monitoringv1.AddToScheme, monitoringv1alpha1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(s); err != nil {
			panic(err) // Two kinds of one name: a fault of the program.
		}
	}
	return s
}

// noPipelineError is that of a cluster without a MetricsPipeline.
type noPipelineError struct{ text string }

func (e *noPipelineError) Error() string { return e.text }

// reader reads objects.
type reader = client.Reader

// pipeline reads the MetricsPipeline. An error says what to do.
func pipeline(ctx context.Context, reader client.Reader) (*v1alpha1.MetricsPipeline, error) {
	found := &v1alpha1.MetricsPipeline{}
	err := reader.Get(ctx, client.ObjectKey{Name: v1alpha1.SingletonName}, found)
	switch {
	case err == nil:
		found.APIVersion, found.Kind = v1alpha1.GroupVersion.String(), "MetricsPipeline"
		return found, nil
	case meta.IsNoMatchError(err):
		return nil, &noPipelineError{"this API server does not serve metricspipelines.metricspipeline.io: install the operator first, as " +
			"docs/install.md says, or name another cluster by --context"}
	case apierrors.IsNotFound(err):
		return nil, &noPipelineError{"no MetricsPipeline in this cluster: apply " +
			"config/samples/metricspipeline_v1alpha1_metricspipeline.yaml, see README"}
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("read MetricsPipeline %s: %w; bind the ClusterRole metricspipeline-viewer to yourself, or have an "+
			"administrator do so", v1alpha1.SingletonName, err)
	default:
		return nil, fmt.Errorf("read MetricsPipeline %s: %w", v1alpha1.SingletonName, err)
	}
}
