// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/prometheus"
)

const accessName = "lamp-access"

// presenting is a lamp that presents something; nil for nothing. What it is retained for is in retained.
func presenting(value, retained *string) *gadget {
	g := lamp()
	g.plan = func(_ operand.Input, p *operand.Proposal) error {
		if *value != "" {
			p.Component.AccessSecret, p.Access = accessName, map[string][]byte{"kubeconfig": []byte(*value)}
		}
		if p.Retained = *retained; p.Retained != "" {
			p.Access = nil
		}
		return nil
	}
	return g
}

// stored is what the Secret has; empty where there is none.
func (w *world) access() string {
	w.t.Helper()
	secret := &corev1.Secret{}
	if !w.exists(secret, accessName) {
		return ""
	}
	if !ownership.Labeled(secret) || len(secret.OwnerReferences) == 0 {
		w.t.Errorf("labels %v, owners %v: a spec could name it, and it would outlive the pipeline", secret.Labels, secret.OwnerReferences)
	}
	return string(secret.Data["kubeconfig"])
}

// TestAccessIsStored beside the pods, put back, kept while the component is retained, and gone with the need for it. It is in no form
// that is stored.
func TestAccessIsStored(t *testing.T) {
	value, retained := "s3cret", ""
	w := healthy(t, presenting(&value, &retained))
	expect := func(want string) {
		t.Helper()
		w.settle()
		if got := w.access(); got != want {
			t.Fatalf("the Secret has %q, want %q", got, want)
		}
	}
	expect("s3cret")
	form := &corev1.ConfigMap{}
	if !w.exists(form, operand.LastGoodName("lamp")) {
		t.Fatal("no form is stored")
	}
	good := operand.ReadLastGood(form)
	for _, object := range good.Objects {
		if object.GetKind() == "Secret" {
			t.Error("the form has a Secret")
		}
	}
	w.remove(&corev1.Secret{}, accessName)
	expect("s3cret")
	value = "another"
	expect("another")

	retained = "it is not known what to present."
	expect("another")
	w.restart()
	expect("another")

	retained, value = "", ""
	expect("")
}

// TestAccessThatCannotBeStored makes no pods: they would wait for it, and those that serve would go.
func TestAccessThatCannotBeStored(t *testing.T) {
	value, retained := "", ""
	w := healthy(t, presenting(&value, &retained))
	before := &appsv1.Deployment{}
	w.exists(before, "lamp")
	w.refuse = func(object, _ string) error {
		if object == "Secret metrics/"+accessName {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, accessName, nil)
		}
		return nil
	}
	value = "s3cret"
	w.edit(func(spec *v1alpha1.MetricsPipelineSpec) { patched(spec, "lamp", "spec: {replicas: 3}") })
	for range 3 {
		_, _ = w.reconcile()
	}
	after := &appsv1.Deployment{}
	w.exists(after, "lamp")
	if *after.Spec.Replicas != *before.Spec.Replicas {
		t.Error("the Deployment was written")
	}
	if message := w.condition(v1alpha1.ConditionComponentsReady); !strings.Contains(message, accessName) {
		t.Errorf("ComponentsReady: %s", message)
	}
	w.refuse = nil
	w.restart() // It is tried again after a while, or after a restart.
	w.settle()
	w.exists(after, "lamp")
	if *after.Spec.Replicas != 3 || w.access() != "s3cret" {
		t.Errorf("%d replicas, the Secret has %q: %s", *after.Spec.Replicas, w.access(), w.condition(v1alpha1.ConditionComponentsReady))
	}
}

// TestPrometheusQuestion: the URL of the adapter's must answer as well, but for that of the adapter's own pod.
func TestPrometheusQuestion(t *testing.T) {
	serve := func(status int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[]}}`))
		}))
		t.Cleanup(server.Close)
		// Another address than the loopback's that leads here: as that of another pod.
		return strings.Replace(server.URL, "127.0.0.1", "0.0.0.0", 1)
	}
	fine := prometheus.Target{URL: serve(http.StatusOK), Revision: "1"}
	alone := prometheusQuestion(fine, "", prometheus.Access{})
	if err := alone.Ask(t.Context()); err != nil || alone.Period != 0 {
		t.Errorf("alone, every %s: %v", alone.Period, err)
	}
	own := prometheusQuestion(fine, "http://localhost:1", prometheus.Access{})
	if err := own.Ask(t.Context()); err != nil || own.Period != 0 || own.Key != alone.Key {
		t.Errorf("the adapter's own pod, every %s: %v", own.Period, err)
	}
	for status, says := range map[int]string{http.StatusOK: "", http.StatusForbidden: "403"} {
		other := prometheusQuestion(fine, serve(status), prometheus.Access{})
		err := other.Ask(t.Context())
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) || other.Period == 0 || other.Key == alone.Key {
			t.Errorf("elsewhere, every %s: %v, want %q", other.Period, err, says)
		}
	}
	if by := prometheusQuestion(fine, "", prometheus.Access{Method: v1alpha1.QueryPOST}); by.Key == alone.Key {
		t.Error("another method is no other question")
	}
}
