// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

const (
	metricsServer = harness.MetricsServer
	adapter       = harness.Adapter
	// selfMonitoring is the component that monitors the stack.
	selfMonitoring = "self-monitoring"
	appsNamespace  = "apps"

	builtIn     = "certificates: {provider: BuiltIn}"
	unmonitored = "monitoring: {monitors: Disabled, alerts: Disabled, dashboard: Disabled}"
	rules       = `
customMetrics:
  rules:
  - id: requests
    seriesQuery: http_requests_total{namespace!="",pod!=""}
    resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
    metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
externalMetrics:
  rules:
  - id: queue-length
    seriesQuery: queue_length{namespace!=""}
    resources: {overrides: {namespace: {resource: namespace}}}
    metricsQuery: max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
`
)

// scenario is something that a user relies on; run returns an error when its outcome is not reached.
type scenario struct {
	name string
	run  func(*world) error
	// adjust changes how the operator is started.
	adjust func(*world, *ctrl.Options)
}

// atRest is the scenario that a missing watch breaks: what is not watched is listed again and again, and works.
const atRest = "at rest"

// scenarios in the order in which they are tried.
var scenarios = []scenario{
	{name: "install", run: install},
	{name: "events", run: events},
	{name: "rules", run: serveRules},
	{name: "prune", run: prune},
	{name: "disabled", run: disable},
	{name: "replacement", run: sweep},
	{name: "scrape", run: scrapeApps},
	{name: "scrape configurations", run: configureApps},
	{name: "autoscalers", run: explain},
	{name: "monitoring", run: monitorItself},
	{name: "managed Prometheus", run: manage},
	{name: "strangers", run: meetStrangers},
	{name: "certificates", run: certificates},
	{name: "leader election", run: lead, adjust: electing},
	{name: "metrics", run: metrics, adjust: measured},
	{name: atRest, run: rest},
}

// install brings the resource metrics up.
func install(w *world) error {
	if err := errors.Join(w.apply(builtIn), w.play()); err != nil {
		return err
	}
	return w.ready()
}

func (w *world) ready() error {
	return w.until("Ready", func() error {
		pipeline, err := w.pipeline()
		if err != nil {
			return err
		}
		for _, condition := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionMonitoringReady} {
			ready := apimeta.FindStatusCondition(pipeline.Status.Conditions, condition)
			if ready == nil || ready.Status != metav1.ConditionTrue {
				return fmt.Errorf("the condition is %+v", ready)
			}
		}
		return nil
	})
}

// serveRules brings the custom and external metrics up, from a Prometheus that is sent a header.
func serveRules(w *world) error {
	prometheus := harness.StartPrometheus()
	defer prometheus.Stop()
	tenant := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: "tenant"},
		StringData: map[string]string{"id": "team"}}
	if err := w.Client.Create(w.Ctx, tenant); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	source := "prometheus: {url: '" + prometheus.URL + "', allowHTTP: true, " +
		"auth: {headers: [{name: X-Scope-OrgID, secret: {name: tenant, key: id}}]}}"
	if err := errors.Join(w.apply(builtIn, source, rules), w.play()); err != nil {
		return err
	}
	return w.until("custom and external metrics are available", func() error {
		pipeline, err := w.pipeline()
		if err != nil {
			return err
		}
		available := 0
		for _, api := range pipeline.Status.APIServices {
			if api.Backend == adapter && api.Available == metav1.ConditionTrue {
				available++
			}
		}
		if available < 3 {
			return fmt.Errorf("%d of 3 are available: %+v", available, pipeline.Status.APIServices)
		}
		// An object that is refused keeps none of the others from being deployed, and the APIs from nothing that this world sees.
		deployed := apimeta.FindStatusCondition(pipeline.Status.Conditions, v1alpha1.ConditionComponentsReady)
		if deployed == nil || deployed.Status != metav1.ConditionTrue {
			return fmt.Errorf("the condition is %+v", deployed)
		}
		return nil
	})
}

// prune takes the rules away, and what served them is deleted.
func prune(w *world) error {
	if err := serveRules(w); err != nil {
		return err
	}
	if err := w.apply(builtIn); err != nil {
		return err
	}
	return w.until("nothing is left of the adapter", func() error { return w.nothingLeft(adapter) })
}

// disable takes away all that there is to do, and nothing is left but the pipeline.
func disable(w *world) error {
	if err := install(w); err != nil {
		return err
	}
	if err := w.apply("resourceMetrics: {policy: Disabled}", unmonitored); err != nil {
		return err
	}
	return w.until("nothing is left", func() error { return w.gone(harness.Everything) })
}

// sweep removes what a Deployment that was replaced has left behind.
func sweep(w *world) error {
	labels := map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName, v1alpha1.ComponentLabel: metricsServer, "app": "earlier"}
	orphan := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
		Namespace: harness.OperatorNamespace, Name: metricsServer + "-earlier", Labels: labels}}
	orphan.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "earlier"}}
	orphan.Spec.Template.Labels = labels
	orphan.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main", Image: "example.com/earlier:v1"}}
	if err := errors.Join(w.Client.Create(w.Ctx, orphan), install(w)); err != nil {
		return err
	}
	return w.until("the earlier ReplicaSet is gone", func() error {
		err := w.Client.Get(w.Ctx, client.ObjectKeyFromObject(orphan), &appsv1.ReplicaSet{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, errors.New("it is there"))
	})
}

// monitorItself has the stack monitored, and then not.
func monitorItself(w *world) error {
	if err := w.apply(builtIn); err != nil {
		return err
	}
	err := w.until("the stack is monitored", func() error {
		pipeline, err := w.pipeline()
		if err != nil {
			return err
		}
		made, err := w.managed(func(object *unstructured.Unstructured) bool {
			return object.GetLabels()[v1alpha1.ComponentLabel] == selfMonitoring
		})
		ready := apimeta.FindStatusCondition(pipeline.Status.Conditions, v1alpha1.ConditionMonitoringReady)
		if err != nil || ready == nil || ready.Status != metav1.ConditionTrue || len(made) < 5 {
			return errors.Join(fmt.Errorf("%d objects, the condition is %+v", len(made), ready), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.apply(builtIn, unmonitored); err != nil {
		return err
	}
	return w.until("nothing monitors the stack", func() error { return w.nothingLeft(selfMonitoring) })
}

func (w *world) nothingLeft(component string) error {
	return w.gone(func(object *unstructured.Unstructured) bool {
		return object.GetLabels()[v1alpha1.ComponentLabel] == component
	})
}

// scrapeApps has an annotated Service and a Pod scraped by the Prometheus that there is, until they go.
func scrapeApps(w *world) error {
	defer func() { _ = w.notAnnotated() }()
	if err := w.annotated(); err != nil {
		return err
	}
	if err := w.apply(builtIn); err != nil {
		return err
	}
	err := w.until("the apps have monitors with the labels that Prometheus selects", func() error { return w.monitored("stack") })
	if err != nil {
		return err
	}
	if err := w.notAnnotated(); err != nil {
		return err
	}
	return w.until("the monitors of apps are gone", func() error { return w.nothingLeft("scrape") })
}

// monitored returns an error until both kinds of monitor are there.
func (w *world) monitored(release string) error {
	for _, kind := range monitors {
		found, err := w.managed(func(object *unstructured.Unstructured) bool {
			return object.GetKind() == kind && object.GetNamespace() == appsNamespace && object.GetLabels()["release"] == release
		})
		if err != nil || len(found) == 0 {
			return errors.Join(fmt.Errorf("no %s in %s", kind, appsNamespace), err)
		}
	}
	return nil
}

// events report what happened, and count what happens again.
func events(w *world) error {
	if err := w.apply(builtIn); err != nil {
		return err
	}
	if err := w.until("an Event about what was made", func() error { return w.announced("ObjectsCreated", 0) }); err != nil {
		return err
	}
	// Repairs are counted as long as the pipeline stays the same, so one may not be enough.
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: metricsServer}}
	return w.until("an Event that counts repairs", func() error {
		if err := client.IgnoreNotFound(w.Client.Delete(w.Ctx, policy)); err != nil {
			return err
		}
		return w.announced("DriftRepaired", 2)
	})
}

// announced returns an error until there is an Event about the pipeline, which was repeated so many times.
func (w *world) announced(reason string, repeated int32) error {
	pipeline := &v1alpha1.MetricsPipeline{}
	if err := w.Client.Get(w.Ctx, client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline); err != nil {
		return err
	}
	found := &eventsv1.EventList{}
	if err := w.Client.List(w.Ctx, found); err != nil {
		return err
	}
	for _, event := range found.Items {
		counted := repeated == 0 || event.Series != nil && event.Series.Count >= repeated
		if event.Regarding.UID == pipeline.UID && event.Reason == reason && counted {
			return nil
		}
	}
	return fmt.Errorf("no Event %s", reason)
}

// rest: an operator that has nothing to do gets events, and lists nothing twice.
func rest(w *world) error {
	if err := install(w); err != nil {
		return err
	}
	const longest = 2 * time.Second // A watch that fails is followed by a list within this time.
	return w.until("nothing is sent any more", func() error {
		if again := w.wire.relisted(); len(again) > 0 {
			return lostError{fmt.Errorf("listed again: %s", strings.Join(again, ", "))}
		}
		if quiet := w.wire.quiet(); quiet < longest {
			return fmt.Errorf("something was sent %s ago", quiet)
		}
		return nil
	})
}
