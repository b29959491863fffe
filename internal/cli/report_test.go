// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
)

const operatorNamespace = "metrics-home"

// reportObjects are those of a cluster whose tenant shop has a Secret, and names that no report may have.
func reportObjects(t *testing.T) []client.Object {
	t.Helper()
	in := func(name string, labels map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: operatorNamespace, Name: name, Labels: labels,
			Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "hunter2"}}
	}
	template := corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Env: []corev1.EnvVar{
		{Name: "PROXY_PASSWORD", Value: "hunter2"}, {Name: "RELATED_IMAGE_METRICS_SERVER", Value: "registry/metrics-server"}}}}}
	operator := map[string]string{ownership.NameLabel: operatorName}
	component := ownership.Labels("metrics-server")
	restarted := corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "manager", RestartCount: 1}}}
	pipeline := readPipeline(t, "broken")
	pipeline.Spec.Prometheus.URL = "https://user:hunter2@prometheus.monitoring.svc"
	pipeline.Spec.Patches = []v1alpha1.Patch{{Target: v1alpha1.PatchTarget{Kind: "Deployment"}, Patch: "[{value: hunter2}]"}}
	return []client.Object{
		pipeline,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}},
		&corev1.Secret{ObjectMeta: in("prometheus-token", component), Data: map[string][]byte{"token": []byte("hunter2")}},
		&appsv1.Deployment{ObjectMeta: in(operatorName, operator), Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: template}}},
		&appsv1.Deployment{ObjectMeta: in("metrics-server", component)},
		&appsv1.Deployment{ObjectMeta: in("of-somebody", map[string]string{"app": "of-somebody"})},
		&corev1.Pod{ObjectMeta: in("metricspipeline-operator-1", operator), Spec: template, Status: restarted},
		&corev1.Pod{ObjectMeta: in("of-somebody-1", nil), Status: restarted},
		&apiregv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: "v1beta1.metrics.k8s.io"}},
		&apiregv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: "v1.apps"}},
		newEvent(operatorNamespace, "Pod", "metricspipeline-operator-1", "BackOff", "Back-off restarting failed container"),
		newEvent("default", "MetricsPipeline", "default", "RulesRejected", "Rule http is rejected."),
		newEvent("shop", "Pod", "web-1", "Scheduled", "assigned to node-1"),
		newHPA("shop", "web", true), newHPA("shop", "api", true),
	}
}

func newEvent(namespace, kind, name, reason, message string) *corev1.Event {
	return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "." + reason}, Type: "Warning", Reason: reason,
		Message: message, LastTimestamp: metav1.NewTime(today), InvolvedObject: corev1.ObjectReference{Kind: kind, Namespace: namespace, Name: name}}
}

// unpack returns the files of an archive by name.
func unpack(t *testing.T, name string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	compressed, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for reader := tar.NewReader(compressed); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(header.Name, folder)] = string(content)
	}
}

// TestReport: the archive has what the list on standard output says, no secret, and nothing of a tenant but counts.
func TestReport(t *testing.T) {
	readSecret := interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if _, secret := object.(*corev1.Secret); secret {
				t.Errorf("Secret %s is read", key)
			}
			return c.Get(ctx, key, object, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if _, secrets := list.(*corev1.SecretList); secrets {
				t.Error("Secrets are listed")
			}
			return c.List(ctx, list, options...)
		},
	}
	w := newWorld(t, readSecret, reportObjects(t)...)
	file := filepath.Join(t.TempDir(), "report.tar.gz")
	w.run(t, ExitWorks, "report", "-f", file)
	files := unpack(t, file)
	want := []string{
		"apiservices/v1beta1.metrics.k8s.io.yaml", "counts.txt", "deployments/metrics-server.yaml", "deployments/metricspipeline-operator.yaml",
		"events.txt", "logs/metricspipeline-operator-1/manager.log", "logs/metricspipeline-operator-1/manager.previous.log",
		"metricspipeline.yaml", "pods/metricspipeline-operator-1.yaml", "versions.yaml",
	}
	var listed []string
	for line := range strings.Lines(w.out.String()) {
		if words := strings.Fields(line); len(words) == 2 {
			listed = append(listed, words[1])
		}
	}
	if diff := cmp.Diff(want, listed); diff != "" || len(files) != len(want) {
		t.Errorf("the archive has %d files; listed are (-want +got):\n%s", len(files), diff)
	}
	for name, content := range files {
		for _, never := range []string{"hunter2", "shop", "abcdefghijklmnop", "of-somebody", "web-1", "http_requests_per_second", "NoRule"} {
			if strings.Contains(content, never) {
				t.Errorf("%s has %q:\n%s", name, never, content)
			}
		}
	}
	for name, part := range map[string]string{
		"counts.txt":           "HorizontalPodAutoscaler  2\n",
		"metricspipeline.yaml": "downTotal: 1",
		"events.txt":           "RulesRejected: Rule http is rejected.",
		"versions.yaml":        "operator: v0.2.0",
		"deployments/metricspipeline-operator.yaml":   "registry/metrics-server",
		"logs/metricspipeline-operator-1/manager.log": `The API server refuses the monitors","namespace":"TENANT"`,
	} {
		if !strings.Contains(files[name], part) {
			t.Errorf("%s has no %q:\n%s", name, part, files[name])
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the archive is %v, %v; others could read it", info.Mode(), err)
	}
	w.run(t, ExitError, "report", "-f", file)
	if !strings.Contains(w.errOut.String(), "name a file that does not exist") {
		t.Errorf("an archive that is there: %q", w.errOut)
	}
}

// TestReportWithoutRights: what cannot be read is in errors.txt, and the rest is there.
func TestReportWithoutRights(t *testing.T) {
	forbidden := interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if _, events := list.(*corev1.EventList); events {
				return c.List(ctx, list, options...)
			}
			return apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "", errors.New("no"))
		},
	}
	w := newWorld(t, forbidden, readPipeline(t, "ready"))
	file := filepath.Join(t.TempDir(), "report.tar.gz")
	w.run(t, ExitUnseen, "report", "-f", file, "--operator-namespace", operatorNamespace)
	files := unpack(t, file)
	for _, part := range []string{"deployments: things is forbidden", "pods: ", "list namespaces"} {
		if !strings.Contains(files["errors.txt"], part) || !strings.Contains(w.errOut.String(), part) {
			t.Errorf("errors.txt has no %q:\n%s", part, files["errors.txt"])
		}
	}
	if !strings.Contains(files["metricspipeline.yaml"], "observedGeneration: 2") || !strings.Contains(files["counts.txt"], "not known") {
		t.Errorf("what can be read is not all there: %v", files)
	}
}

func TestReportWithoutPipeline(t *testing.T) {
	w := newWorld(t, noCRD)
	file := filepath.Join(t.TempDir(), "report.tar.gz")
	w.run(t, ExitUnseen, "report", "-f", file)
	files := unpack(t, file)
	if !strings.Contains(files["metricspipeline.yaml"], "install the operator first") ||
		!strings.Contains(files["errors.txt"], "no Deployment has the label app.kubernetes.io/name=metricspipeline-operator") {
		t.Errorf("the archive has %v", files)
	}
}

// TestRedact: what a log or a message may say.
func TestRedact(t *testing.T) {
	redact := newRedactor([]string{"shop", "shop-2", "default"})
	for text, want := range map[string]string{
		"GET https://u:p4ss@host/api":                                    "GET https://REDACTED@host/api",
		"Authorization: Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.sig": "Authorization: Bearer REDACTED",
		"token=0123456789":                                               "token=REDACTED",
		`"password":"s3cr3t!"`:                                           `"password":"REDACTED"`,
		"got eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln here":             "got REDACTED here",
		"/apis/x/namespaces/shop-2/pods/web-1/metric":                    "/apis/x/namespaces/TENANT/metric",
		`{"namespace":"shop","name":"x"}`:                                `{"namespace":"TENANT","name":"TENANT"}`,
		`\"namespace\":\"shop-2\"`:                                       `\"namespace\":\"TENANT\"`,
		`up{namespace="shop",job="y"}`:                                   `up{TENANT}`,
		"Service shop/web-1.x is down":                                   "Service TENANT is down",
		"namespace shop: the quota is full":                              "namespace TENANT: the quota is full",
		"the default is a workshop":                                      "the default is a workshop",
		"kube-system/metrics-server":                                     "kube-system/metrics-server",
	} {
		if got := string(redact.text([]byte(text))); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}
