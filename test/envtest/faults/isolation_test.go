// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// componentFault is something wrong with one component that lasts until the spec is goodSpec again.
type componentFault struct {
	name string
	// only is the one component that can have it; empty for each.
	only string
	// put puts it in place, and returns what ends it besides goodSpec; nil for nothing.
	put func(w *world, faulty, other string) (end func())
	// condition is False meanwhile.
	condition string
	// unrenewed is true for a fault that is about the certificate of the faulty component itself.
	unrenewed bool
}

func componentFaults() []componentFault {
	patched := func(patch string) func(*world, string, string) func() {
		return func(w *world, faulty, _ string) func() {
			w.apply(goodSpec + "patches:\n- target: {kind: Deployment, name: " + faulty + "}\n  patch: '" + patch + "'\n")
			return nil
		}
	}
	return []componentFault{
		{name: "bad patch", condition: v1alpha1.ConditionComponentsReady,
			put: patched(`[{"op": "replace", "path": "/spec/nothing/here", "value": 1}]`)},
		{name: "refused apply", condition: v1alpha1.ConditionComponentsReady,
			put: patched(`{"spec": {"template": {"spec": {"priorityClassName": "NOT_A_NAME"}}}}`)},
		{name: "missing credential", only: harness.Adapter, condition: v1alpha1.ConditionPrometheusReady, put: func(w *world, _, _ string) func() {
			w.apply(strings.Replace(goodSpec, smallSpec,
				"prometheus: {url: $PROMETHEUS, auth: {bearerToken: {name: absent, key: a}}}\n", 1))
			return nil
		}},
		{name: "certificate not issued", condition: v1alpha1.ConditionCertificatesReady, unrenewed: true, put: func(w *world, faulty, other string) func() {
			builtIn := w.certificateOf(other)
			w.issuing(faulty)
			w.apply(strings.Replace(goodSpec, "BuiltIn", "CertManager", 1))
			w.eventually(func() string { return w.renewed(other, builtIn) })
			return nil
		}},
		{name: "contested", condition: v1alpha1.ConditionComponentsReady, put: func(w *world, faulty, _ string) func() {
			budget := harness.Configuration("policy/v1", "PodDisruptionBudget", harness.OperatorNamespace, faulty,
				map[string]any{"minAvailable": int64(0)})
			stop, err := w.StartRival(w.Ctx, budget)
			w.must(err)
			return stop
		}},
	}
}

// TestAnotherComponentsFault: what is wrong with one component is no business of the other, which is repaired and whose
// certificate is renewed, nor does it take the faulty one away: that is put back in its last good form, its certificate renewed.
// The operator that does so remembers nothing of the time before the fault.
func TestAnotherComponentsFault(t *testing.T) {
	others := map[string]string{harness.MetricsServer: harness.Adapter, harness.Adapter: harness.MetricsServer}
	for _, f := range componentFaults() {
		for faulty, other := range others {
			if f.only != "" && f.only != faulty {
				continue
			}
			t.Run(f.name+": "+faulty, func(t *testing.T) {
				w := begin(t)
				inject(t, "another component's fault", 1, func() { w.isolates(f, faulty, other) })
			})
		}
	}
}

// isolates brings everything up, puts the fault in place, restarts the operator, deletes both Deployments and lets both
// certificates come due.
func (w *world) isolates(f componentFault, faulty, other string) {
	w.Helper()
	if !f.unrenewed {
		w.clock.SetTime(time.Now().Add(-250 * 24 * time.Hour)) // Certificates of this time are good today, and due.
	}
	w.start()
	w.apply(goodSpec)
	w.life.stir()
	good := w.settle()

	end := f.put(w, faulty, other)
	if end == nil {
		end = func() {}
	}
	w.Cleanup(end)
	w.eventually(func() string { return w.isFalse(f.condition) })
	issued := map[string]string{faulty: w.certificateOf(faulty), other: w.certificateOf(other)}
	w.kill()
	w.start()
	w.eventually(func() string {
		if w.Operator.Reconciles() == 0 {
			return "the operator has not begun again"
		}
		return ""
	})
	for _, component := range []string{faulty, other} {
		w.must(w.Client.Delete(w.Ctx, deploymentOf(component)))
	}
	w.clock.SetTime(time.Now())
	if f.unrenewed {
		w.deleteSecret(other + "-issued") // An issuer renews by itself.
	} else {
		w.poke()
	}

	for _, component := range []string{other, faulty} {
		w.eventually(func() string {
			missing := w.repaired(component, good)
			if missing == "" && (component == other || !f.unrenewed) {
				missing = w.renewed(component, issued[component])
			}
			return missing
		})
	}
	w.eventually(func() string { return w.isFalse(f.condition) })
	w.judge(100 * time.Millisecond)

	end()
	w.apply(goodSpec + "scrape: {interval: 45s}\n") // Another generation, so that what was given up is tried again.
	w.apply(goodSpec)
	w.reaches(good, f.name+" in "+faulty+", corrected")
}

// isFalse returns what is missing until the status is about the present spec and says that a condition is False.
func (w *world) isFalse(condition string) string {
	w.Helper()
	pipeline, _ := w.pipeline()
	found := apimeta.FindStatusCondition(pipeline.Status.Conditions, condition)
	if current(pipeline) && found != nil && found.Status == metav1.ConditionFalse {
		return ""
	}
	return fmt.Sprintf("%s is not False about generation %d: %+v", condition, pipeline.Generation, found)
}

// repaired returns what is missing until a component's Deployment is again as it was, and the APIs of the component answer.
func (w *world) repaired(component string, good snapshot) string {
	w.Helper()
	id := harness.Identity(deploymentOf(component))
	if differs := (snapshot{id: good[id]}).differs(snapshot{id: w.snapshot()[id]}); differs != "" {
		return "it is not as it was: " + differs
	}
	pipeline, _ := w.pipeline()
	served := 0
	for _, api := range pipeline.Status.APIServices {
		if api.Backend == component && api.Available == metav1.ConditionTrue {
			served++
		}
	}
	if served == 0 {
		return fmt.Sprintf("%s serves no API: %+v", component, pipeline.Status.APIServices)
	}
	return ""
}

// renewed returns what is missing until a component has another serving certificate than before.
func (w *world) renewed(component, before string) string {
	w.Helper()
	if now := w.certificateOf(component); now == "" || now == before {
		pipeline, _ := w.pipeline()
		return fmt.Sprintf("the certificate of %s is not renewed: %+v", component,
			apimeta.FindStatusCondition(pipeline.Status.Conditions, v1alpha1.ConditionCertificatesReady))
	}
	return ""
}

// certificateOf returns a component's serving certificate, PEM; empty where there is none.
func (w *world) certificateOf(component string) string {
	w.Helper()
	secret := &corev1.Secret{}
	w.must(client.IgnoreNotFound(w.Client.Get(w.Ctx, harness.InOperatorNamespace(component+"-tls"), secret)))
	return string(secret.Data[corev1.TLSCertKey])
}

func deploymentOf(component string) *unstructured.Unstructured {
	return harness.Configuration("apps/v1", "Deployment", harness.OperatorNamespace, component, nil)
}
