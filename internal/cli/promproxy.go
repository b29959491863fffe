// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// probeQuery has an answer in every store.
const probeQuery = "vector(1)"

// serviceProxy is the path of the API server that leads to what a URL of a Service leads to within the cluster; false for another URL.
func serviceProxy(base string) (string, bool) {
	parsed, err := url.Parse(base)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return "", false
	}
	name, port, err := net.SplitHostPort(parsed.Host)
	if err != nil {
		name, port = parsed.Host, map[string]string{"http": "80", "https": "443"}[parsed.Scheme]
	}
	// NAME.NAMESPACE, NAME.NAMESPACE.svc or NAME.NAMESPACE.svc.DOMAIN.
	parts := strings.Split(name, ".")
	if len(parts) < 2 || len(parts) > 2 && parts[2] != "svc" || net.ParseIP(name) != nil {
		return "", false
	}
	service := parts[0] + ":" + port
	if parsed.Scheme == "https" {
		service = "https:" + service
	}
	return fmt.Sprintf("/api/v1/namespaces/%s/services/%s/proxy%s", parts[1], service, strings.TrimSuffix(parsed.EscapedPath(), "/")), true
}

// askPrometheus returns a client of the Prometheus of the pipeline: at a URL that the person gave, or through the API server with their
// own rights. The error is why it cannot be asked.
func askPrometheus(
	ctx context.Context, config *rest.Config, reader client.Reader, found *v1alpha1.MetricsPipeline, direct string,
) (*prometheus.Client, error) {
	if direct != "" {
		asked, err := clientAt(ctx, reader, found, direct)
		if err != nil {
			return nil, err
		}
		return tried(ctx, asked)
	}
	const otherwise = "; set --prometheus-url to where it answers, such as the local end of kubectl port-forward"
	base := urlOf(found)
	if base == "" {
		return nil, errors.New("status.prometheus.url of the MetricsPipeline is not known" + otherwise)
	}
	if namespace := managedNamespace(found); namespace != "" {
		return askManaged(ctx, config, reader, found, namespace)
	}
	path, isService := serviceProxy(base)
	if !isService {
		return nil, fmt.Errorf("status.prometheus.url %s leads to no Service of the cluster, so the API server cannot pass a query on%s",
			base, otherwise)
	}
	if found.Spec.Prometheus.Auth != nil {
		return nil, fmt.Errorf("spec.prometheus.auth has credentials, which the API server does not pass on to %s%s: they are sent "+
			"there if you may get the Secrets that it names", base, otherwise)
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	// Once through the client of the API server, whose errors tell a permission that is missing from a Prometheus that does not answer.
	// Where the Service has no endpoint that answers, the questions themselves say so: Prometheus is down.
	_, err = clients.CoreV1().RESTClient().Get().AbsPath(path+"/api/v1/query").Param("query", probeQuery).DoRaw(ctx)
	if err != nil && !apierrors.IsServiceUnavailable(err) {
		if apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("%w; have an administrator grant you get of services/proxy there%s", err,
				strings.Replace(otherwise, ";", ", or", 1))
		}
		return nil, fmt.Errorf("through the API server at %s: %w%s", path, err, otherwise)
	}
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	return prometheus.NewClientOver("status.prometheus.url", strings.TrimSuffix(server.String(), "/")+path, transport)
}

// clientAt returns a client of the Prometheus at a URL of the person, with what spec.prometheus names if they may read it.
func clientAt(
	ctx context.Context, reader client.Reader, found *v1alpha1.MetricsPipeline, direct string,
) (*prometheus.Client, error) {
	const field = "--prometheus-url"
	parsed, err := url.Parse(direct)
	if namespace := managedNamespace(found); err == nil && namespace != "" && parsed.Scheme == "https" && local(parsed) {
		access, err := managedAccess(ctx, reader, found, namespace)
		if err != nil {
			return nil, granted(err, "get of that Secret")
		}
		return prometheus.NewClientAt(field, direct, access) //nolint:wrapcheck // it names the flag
	}
	if err != nil || found == nil || found.Spec.Prometheus.Auth == nil && found.Spec.Prometheus.TLS == nil {
		return prometheus.NewClientOver(field, direct, http.DefaultTransport) //nolint:wrapcheck // it names the flag
	}
	spec := found.Spec.Prometheus
	if spec.Auth != nil && parsed.Scheme != "https" && !spec.AllowHTTP && !local(parsed) {
		return nil, fmt.Errorf("spec.prometheus.auth is not sent to --prometheus-url %s: anyone on the way could read it; name an "+
			"https URL, or the local end of kubectl port-forward", direct)
	}
	operator := &gathered{reader: reader}
	operator.findNamespace(ctx)
	access, missing, err := (&cluster.Source{Client: reader, Namespace: operator.namespace}).Access(ctx, spec)
	switch {
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("%s; have an administrator grant you get of that object, or look with the rights of one who may", missing)
	case missing != "":
		return nil, errors.New(missing)
	}
	if served, err := url.Parse(urlOf(found)); err == nil && access.ServerName == "" && local(parsed) {
		access.ServerName = served.Hostname() // Behind a port-forward the certificate is for the Service.
	}
	return prometheus.NewClientAt(field, direct, access) //nolint:wrapcheck // it names the flag
}

// urlOf is where Prometheus is by the status; empty where it is not known.
func urlOf(found *v1alpha1.MetricsPipeline) string {
	if found == nil || found.Status.Prometheus == nil {
		return ""
	}
	return found.Status.Prometheus.URL
}

// local is true of a URL of this machine.
func local(at *url.URL) bool {
	address := net.ParseIP(at.Hostname())
	return at.Hostname() == "localhost" || address != nil && address.IsLoopback()
}

// tried returns a client that answers.
func tried(ctx context.Context, asked *prometheus.Client) (*prometheus.Client, error) {
	if _, _, err := asked.Query(ctx, probeQuery, time.Now()); err != nil {
		return nil, asked.Unusable(err)
	}
	return asked, nil
}
