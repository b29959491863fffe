// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/scrape/promconfig"
)

// largestText is how many bytes the scrape configuration of a namespace may have: some ten of the largest fit into one ConfigMap.
const largestText = 96 << 10

// plainly has scrape configurations written instead of monitors, for a Prometheus that reads those.
func (s *settings) plainly(target prometheus.Target) {
	spec := s.pipeline.Spec.Scrape
	s.target = target
	if rejected := target.RejectedTimeout(spec.Interval.Or(0), spec.ScrapeTimeout.Or(0)); rejected != "" {
		s.keep(v1alpha1.ReasonScrapeTimeoutTooLong, rejected)
		return
	}
	var unread, useless []string
	if s.config.CA != nil {
		unread = append(unread, "spec.scrape.tls.ca")
	}
	if s.config.Token != nil {
		unread = append(unread, "spec.scrape.bearerToken")
	}
	if spec.Granularity == v1alpha1.ScrapePerService {
		useless = append(useless, "spec.scrape.granularity")
	}
	if len(spec.Labels) > 0 {
		useless = append(useless, "spec.scrape.labels")
	}
	s.config.CA, s.config.Token = nil, nil
	s.state = State{Met: true, Reason: v1alpha1.ReasonSelected, Message: fmt.Sprintf("%s reads a scrape configuration of each namespace "+
		"with annotated apps.", target.Object)}
	if len(unread) > 0 {
		s.state.Message += fmt.Sprintf(" Without effect: %s, because it may read no Secrets and ConfigMaps of namespaces; apps that "+
			"need it are scraped where prometheus-operator is installed.", strings.Join(unread, ", "))
	}
	if len(useless) > 0 {
		s.state.Message += fmt.Sprintf(" Without effect: %s, because there are no monitors.", strings.Join(useless, ", "))
	}
}

// plainSettings finds out whether who scrapes reads scrape configurations, and then all that these have in common. Where that cannot be
// known, monitors say why.
func (r *Reconciler) plainSettings(ctx context.Context, s *settings, served cluster.Served) (bool, error) {
	target, err := r.scraper(ctx, s, served)
	if cluster.IsPending(err) && !s.off {
		return false, err
	}
	if err != nil || !target.ScrapeConfigs {
		return false, nil //nolint:nilerr // see above
	}
	s.plain, s.served = true, served.Has(kinds.ServiceMonitorCRD) && served.Has(kinds.PodMonitorCRD)
	needed := []schema.GroupVersionKind{kinds.Namespace.GroupVersionKind, configMap.GroupVersionKind}
	if s.served { // Monitors may be left from before.
		for _, kind := range kinds.Monitors {
			needed = append(needed, kind.GroupVersionKind)
		}
	}
	if err := s.readable(served, needed); err != nil || s.retain || s.off {
		return true, err
	}
	s.plainly(target)
	return true, nil
}

// scraper returns who scrapes.
func (r *Reconciler) scraper(ctx context.Context, s *settings, served cluster.Served) (prometheus.Target, error) {
	spec, chosen := s.pipeline.Spec.Prometheus, prometheus.Chosen(s.pipeline.Status)
	objects, err := cluster.PrometheusObjects(ctx, r.prometheuses, r.client, r.namespace, served, spec, chosen)
	if err != nil {
		return prometheus.Target{}, err //nolint:wrapcheck // it says what was listed
	}
	return prometheus.Scraper(spec, objects, chosen) //nolint:wrapcheck // the caller says what is wrong
}

// scrapesApps is true where annotated apps can become targets: by monitors, or by scrape configurations.
func (s *settings) scrapesApps() bool { return s.served || s.plain }

// text returns the scrape configuration of a namespace; empty where nothing is to be scraped. Beside a limitError it leaves out the apps
// that have endpoints of their own.
func (r *Reconciler) text(s *settings, ns *metav1.PartialObjectMetadata) (string, error) {
	text, err := configuration(r.typed(s, ns, true))
	if err != nil || len(text) <= largestText {
		return text, err
	}
	text, err = configuration(r.typed(s, ns, false))
	if err != nil {
		return "", err
	}
	return text, &limitError{fmt.Sprintf("The scrape configuration of the namespace would be larger than %d KiB; its Services with a "+
		"query, with a list of ports or with a port that is not in the annotation, and its Pods with parameters or a list of ports, are "+
		"not scraped; use fewer different ones, or spread the apps over namespaces", largestText>>10)}
}

// configuration writes monitors as a scrape configuration.
func configuration(monitors []client.Object) (string, error) {
	var jobs []promconfig.Job
	for _, object := range monitors {
		more, err := promconfig.Of(object, promconfig.NoFiles)
		if err != nil {
			return "", err //nolint:wrapcheck // it names the monitor
		}
		jobs = append(jobs, more...)
	}
	if len(jobs) == 0 {
		return "", nil
	}
	text, err := promconfig.Marshal(jobs)
	return string(text), err //nolint:wrapcheck // it says what was written
}
