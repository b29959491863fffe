// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// helm is Helm on a cluster: an API server and etcd.
type helm struct {
	kubeconfig string
	client     client.Client
}

func start(t *testing.T) *helm {
	t.Helper()
	environment := &envtest.Environment{}
	config, err := environment.Start()
	if err != nil {
		t.Fatalf("start a control plane: %v; run make test-chart, which says where its binaries are", err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	h := &helm{kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if err := os.WriteFile(h.kubeconfig, environment.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	if h.client, err = client.New(config, client.Options{}); err != nil {
		t.Fatal(err)
	}
	return h
}

// configuration is that of a new command: nothing is remembered from one to the next.
func (h *helm) configuration(t *testing.T) *action.Configuration {
	t.Helper()
	flags := genericclioptions.NewConfigFlags(true)
	in := namespace
	flags.KubeConfig, flags.Namespace = &h.kubeconfig, &in
	config := action.NewConfiguration()
	config.SetLogger(slog.NewTextHandler(io.Discard, nil))
	if err := config.Init(flags, namespace, "secret"); err != nil {
		t.Fatal(err)
	}
	return config
}

// install is `helm install --wait --create-namespace`.
func (h *helm) install(t *testing.T, release, user string) error {
	t.Helper()
	install := action.NewInstall(h.configuration(t))
	install.ReleaseName, install.Namespace, install.CreateNamespace = release, namespace, true
	install.WaitStrategy, install.Timeout = kube.StatusWatcherStrategy, time.Minute
	_, err := install.RunWithContext(t.Context(), load(t), values(t, user))
	return err
}

// upgrade is `helm upgrade` with a chart.
func (h *helm) upgrade(t *testing.T, chart *chartv2.Chart, user string) error {
	t.Helper()
	upgrade := action.NewUpgrade(h.configuration(t))
	upgrade.Namespace, upgrade.WaitStrategy = namespace, kube.HookOnlyStrategy
	_, err := upgrade.RunWithContext(t.Context(), "metrics", chart, values(t, user))
	return err
}

// uninstall is `helm uninstall`.
func (h *helm) uninstall(t *testing.T) {
	t.Helper()
	uninstall := action.NewUninstall(h.configuration(t))
	uninstall.WaitStrategy = kube.HookOnlyStrategy
	if _, err := uninstall.Run("metrics"); err != nil {
		t.Fatalf("helm uninstall: %v", err)
	}
}

// kinds by which a test reads.
var (
	deployments = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	pipelines   = schema.GroupVersionKind{Group: "metricspipeline.io", Version: "v1alpha1", Kind: "MetricsPipeline"}
	definitions = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
)

func (h *helm) get(ctx context.Context, kind schema.GroupVersionKind, name string) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	key := client.ObjectKey{Name: name}
	if kind == deployments {
		key.Namespace = namespace
	}
	return object, h.client.Get(ctx, key, object)
}

// playController writes the status that a controller would, as soon as the object is there, until the test has ended.
func (h *helm) playController(t *testing.T, kind schema.GroupVersionKind, name string, status map[string]any) {
	t.Helper()
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() {
		defer close(ended)
		for tick := time.NewTicker(50 * time.Millisecond); ctx.Err() == nil; {
			object, err := h.get(ctx, kind, name)
			observed, _, _ := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
			if err == nil && (observed != object.GetGeneration() || kind == deployments) {
				status["observedGeneration"] = object.GetGeneration()
				object.Object["status"] = status
				_ = h.client.Status().Update(ctx, object) // A conflict is tried again.
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				tick.Stop()
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// TestLife installs the chart with a pipeline by one command, upgrades and uninstalls it.
func TestLife(t *testing.T) {
	h := start(t)
	available := []any{
		map[string]any{"type": "Available", "status": "True"},
		map[string]any{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
	}
	h.playController(t, deployments, "metricspipeline-operator", map[string]any{
		"replicas": int64(2), "updatedReplicas": int64(2), "readyReplicas": int64(2), "availableReplicas": int64(2), "conditions": available,
	})
	ready := map[string]any{"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
	h.playController(t, pipelines, "default", map[string]any{"conditions": []any{ready}})

	if err := h.install(t, "metrics", "pipeline: {}"); err != nil {
		t.Fatalf("helm install: %v", err)
	}
	if _, err := h.get(t.Context(), pipelines, "default"); err != nil {
		t.Errorf("there is no pipeline after helm install: %v", err)
	}
	if err := h.install(t, "another", ""); err == nil || !strings.Contains(err.Error(), "metricspipeline-operator") {
		t.Errorf("a second release: got %v, want a refusal that names what is there", err)
	}

	t.Run("upgrade", h.testUpgrade)
	t.Run("an earlier schema", h.testEarlierSchema)

	h.uninstall(t)
	for _, gone := range []struct {
		kind schema.GroupVersionKind
		name string
	}{{pipelines, "default"}, {deployments, "metricspipeline-operator"}} {
		if _, err := h.get(t.Context(), gone.kind, gone.name); !apierrors.IsNotFound(err) {
			t.Errorf("%s %s is left after helm uninstall: %v", gone.kind.Kind, gone.name, err)
		}
	}
	for _, object := range h.left(t) {
		t.Errorf("helm uninstall left %s", object)
	}
	if _, err := h.get(t.Context(), definitions, crdName); err != nil {
		t.Errorf("the CRD, and with it pipelines of users, has to outlive the release: %v", err)
	}
}

// testUpgrade changes the pipeline in place: one that were deleted and made again would take the metrics APIs away meanwhile.
func (h *helm) testUpgrade(t *testing.T) {
	before, err := h.get(t.Context(), pipelines, "default")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.upgrade(t, load(t), "{pipeline: {metricsServer: {replicas: 3}}, image: {tag: main}}"); err != nil {
		t.Fatalf("helm upgrade: %v", err)
	}
	after, err := h.get(t.Context(), pipelines, "default")
	if err != nil {
		t.Fatal(err)
	}
	replicas, _, err := unstructured.NestedInt64(after.Object, "spec", "metricsServer", "replicas")
	if err != nil || replicas != 3 || after.GetUID() != before.GetUID() {
		t.Errorf("the pipeline %s became %s with %d replicas: %v", before.GetUID(), after.GetUID(), replicas, err)
	}
}

// testEarlierSchema upgrades to a chart with another CRD: refused, until that is applied as the message says.
func (h *helm) testEarlierSchema(t *testing.T) {
	next := load(t)
	has := annotationOf(t, next)
	for _, files := range [][]*common.File{next.Raw, next.Files} {
		for _, file := range files {
			if strings.HasPrefix(file.Name, "crds/") {
				file.Data = []byte(strings.ReplaceAll(string(file.Data), has, "0123456789abcdef"))
			}
		}
	}
	err := h.upgrade(t, next, "pipeline: {}")
	if err == nil || !strings.Contains(err.Error(), "helm show crds") || !strings.Contains(err.Error(), has) {
		t.Fatalf("got %v, want an error with the cluster's digest %s and the command that applies the CRD", err, has)
	}
	for _, crd := range next.CRDObjects() {
		for _, object := range parse(t, string(crd.File.Data)) {
			apply := client.ApplyConfigurationFromUnstructured(object)
			if err := h.client.Apply(t.Context(), apply, client.ForceOwnership, client.FieldOwner("kubectl")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := h.upgrade(t, next, "pipeline: {}"); err != nil {
		t.Errorf("after the CRD is applied: %v", err)
	}
}

func annotationOf(t *testing.T, chart *chartv2.Chart) string {
	t.Helper()
	for _, crd := range chart.CRDObjects() {
		for _, object := range parse(t, string(crd.File.Data)) {
			return object.GetAnnotations()[schemaDigest]
		}
	}
	t.Fatal("the chart has no CRD")
	return ""
}

// left are the objects of config/ that are still there, the Namespace and the CRD aside.
func (h *helm) left(t *testing.T) []string {
	t.Helper()
	var left []string
	for key, object := range built(t) {
		if object.GetKind() == "Namespace" || object.GetKind() == "CustomResourceDefinition" {
			continue
		}
		err := h.client.Get(t.Context(), client.ObjectKeyFromObject(object), object)
		if client.IgnoreNotFound(err) != nil {
			t.Error(errors.New(key), err)
		}
		if err == nil {
			left = append(left, key)
		}
	}
	return left
}
