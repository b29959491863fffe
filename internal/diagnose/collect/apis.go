// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"cmp"
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// readPipeline reads the MetricsPipeline. Who may read one namespace alone may not read it.
func (c *collection) readPipeline(ctx context.Context) {
	read := c.Pipeline
	if read == nil {
		read = func(ctx context.Context) (*v1alpha1.MetricsPipeline, error) {
			pipeline := &v1alpha1.MetricsPipeline{}
			return pipeline, c.Objects.Get(ctx, client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline)
		}
	}
	pipeline, err := read(ctx)
	switch {
	case absent(err):
		c.noPipeline = true
	case err != nil:
		for _, link := range []diagnose.LinkName{diagnose.LinkAPI, diagnose.LinkRule, diagnose.LinkSeries, diagnose.LinkMonitor} {
			c.unseen(link, "read MetricsPipeline "+v1alpha1.SingletonName, err)
		}
	default:
		c.pipeline = pipeline
	}
}

// defaultPrefix is that of spec.scrape.annotationPrefix.
const defaultPrefix = "prometheus.io"

// prefix of the annotations.
func (c *collection) prefix() string { return cmp.Or(c.spec().Scrape.AnnotationPrefix, defaultPrefix) }

// api returns what the pipeline says of a metrics API or, without one, the API server.
func (c *collection) api(ctx context.Context, group string) diagnose.API {
	api := diagnose.API{Group: group, NoPipeline: c.noPipeline}
	if c.pipeline == nil {
		if c.noPipeline {
			c.readAPIService(ctx, &api)
		}
		return api
	}
	api.Policy = string(metricsapi.Options(c.pipeline.Spec, group).Policy)
	for _, status := range c.pipeline.Status.APIServices {
		// Of the versions one that is available counts: the HPA controller uses any.
		if status.Group != group || api.Available || api.Reason != "" && status.Available != metav1.ConditionTrue {
			continue
		}
		api.Owner, api.Backend, api.Reason, api.Message = status.Owner, status.Backend, status.Reason, status.Message
		api.Registered, api.Ours = status.Owner != "", status.Backend != ""
		api.Available = status.Available == metav1.ConditionTrue
	}
	if c.TakenOver[group] && api.Registered && !api.Ours {
		return diagnose.API{Group: group, Policy: api.Policy, Registered: true, Ours: true, Available: true}
	}
	return api
}

// readAPIService reads who serves a metrics API where there is no pipeline.
func (c *collection) readAPIService(ctx context.Context, api *diagnose.API) {
	for _, known := range metricsapi.All() {
		if known.Group != api.Group {
			continue
		}
		var found apiregv1.APIService
		err := c.Objects.Get(ctx, client.ObjectKey{Name: known.Name()}, &found)
		if absent(err) {
			continue
		}
		if err != nil {
			c.unseen(diagnose.LinkAPI, "read APIService "+known.Name(), err)
			return
		}
		api.Registered = true
		if found.Spec.Service != nil {
			api.Owner = "Service " + found.Spec.Service.Namespace + "/" + found.Spec.Service.Name
		}
		for _, condition := range found.Status.Conditions {
			if condition.Type == apiregv1.Available {
				api.Available = condition.Status == apiregv1.ConditionTrue
				api.Reason, api.Message = condition.Reason, condition.Message
			}
		}
		return
	}
}

// state returns what the status says of a rule. It lists first what needs attention: a rule that is not listed is in use.
func (c *collection) state(group, id string) (state, message string) {
	for _, rule := range c.pipeline.Status.Rules {
		if rule.API == group && rule.ID == id {
			return string(rule.State), rule.Message
		}
	}
	return string(v1alpha1.RuleInUse), ""
}
