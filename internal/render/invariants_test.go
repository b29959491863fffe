// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// everyCase runs a check on the objects of every golden case.
func everyCase(t *testing.T, check func(*testing.T, input, []*unstructured.Unstructured)) {
	t.Helper()
	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			check(t, read(t, name), objectsOf(t, name))
		})
	}
}

// decode reads an object as its own type, and fails on a field that the type does not have.
func decode[T any](t *testing.T, object *unstructured.Unstructured) T {
	t.Helper()
	var typed T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &typed, true); err != nil {
		t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
	return typed
}

// TestLabels are what the cache, prune, and the endpoints are selected by.
func TestLabels(t *testing.T) {
	everyCase(t, func(t *testing.T, _ input, objects []*unstructured.Unstructured) {
		t.Helper()
		for _, object := range objects {
			labels := object.GetLabels()
			if labels[v1alpha1.ManagedLabel] != v1alpha1.SingletonName {
				t.Errorf("%s %s does not carry %s", object.GetKind(), object.GetName(), v1alpha1.ManagedLabel)
			}
			component := labels[v1alpha1.ComponentLabel]
			selected := object.GetKind() == "ServiceMonitor" || object.GetKind() == "PrometheusRule" // By the Prometheus' choice.
			named := labels["app.kubernetes.io/name"] == component || selected
			if component == "" || !named {
				t.Errorf("%s %s: labels %v", object.GetKind(), object.GetName(), labels)
			}
			if object.GetKind() != "Deployment" {
				continue
			}
			deployment := decode[appsv1.Deployment](t, object)
			for label, value := range deployment.Spec.Selector.MatchLabels {
				if deployment.Spec.Template.Labels[label] != value {
					t.Errorf("%s selects pods by %s=%s, which its pods do not carry", object.GetName(), label, value)
				}
			}
			if deployment.Spec.Template.Labels[v1alpha1.ManagedLabel] != v1alpha1.SingletonName {
				t.Errorf("the pods of %s do not carry %s, so they are not in the cache", object.GetName(), v1alpha1.ManagedLabel)
			}
			if _, immutable := deployment.Spec.Selector.MatchLabels[v1alpha1.ManagedLabel]; immutable {
				t.Errorf("%s selects by a label of the operator, and a selector can never change", object.GetName())
			}
		}
	})
}

// TestMonitorsFollowNoRedirect: a component that is taken over must not lead Prometheus elsewhere, with the token that it is sent.
func TestMonitorsFollowNoRedirect(t *testing.T) {
	seen := false
	everyCase(t, func(t *testing.T, _ input, objects []*unstructured.Unstructured) {
		t.Helper()
		for _, object := range objects {
			if object.GetKind() != "ServiceMonitor" {
				continue
			}
			for _, endpoint := range decode[monitoringv1.ServiceMonitor](t, object).Spec.Endpoints {
				seen = true
				if endpoint.FollowRedirects == nil || *endpoint.FollowRedirects {
					t.Errorf("%s follows redirects", object.GetName())
				}
			}
		}
	})
	if !seen {
		t.Error("no case has a monitor")
	}
}

// TestNamespaces are the operator's own: a Role or RoleBinding in another one could not be part of a bundle of OLM, and the
// operator may write there to nothing but monitors.
func TestNamespaces(t *testing.T) {
	clusterScoped := []string{"ClusterRole", "ClusterRoleBinding"}
	everyCase(t, func(t *testing.T, in input, objects []*unstructured.Unstructured) {
		t.Helper()
		for _, object := range objects {
			want := in.Facts.Namespace
			if slices.Contains(clusterScoped, object.GetKind()) {
				want = ""
			}
			if object.GetNamespace() != want {
				t.Errorf("%s %s is in namespace %q, want %q", object.GetKind(), object.GetName(), object.GetNamespace(), want)
			}
		}
	})
}

// authentication is how a backend reads the way to authenticate the API server, and no other ConfigMap.
var authentication = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"},
	ResourceNames: []string{"extension-apiserver-authentication"}, Verbs: []string{"get", "list", "watch"}}

// TestBindings lead to the ServiceAccounts that the pods run as, and to the autoscaler's own. Each component may read the request
// header CA: without it no request of the API server is authenticated.
func TestBindings(t *testing.T) {
	everyCase(t, func(t *testing.T, in input, objects []*unstructured.Unstructured) {
		t.Helper()
		reader, components, reading := map[string]bool{}, map[string]bool{}, map[string]bool{}
		for _, object := range objects {
			switch object.GetKind() {
			case "ClusterRole":
				reader[object.GetName()] = slices.ContainsFunc(decode[rbacv1.ClusterRole](t, object).Rules,
					func(rule rbacv1.PolicyRule) bool { return cmp.Equal(rule, authentication) })
			case "Deployment":
				// The Prometheus that the operator runs knows its callers by a token.
				if component := object.GetLabels()[v1alpha1.ComponentLabel]; component != prometheus.ManagedName {
					components[component] = true
				}
			}
		}
		for _, object := range objects {
			if object.GetKind() != "ClusterRoleBinding" {
				continue
			}
			binding := decode[rbacv1.ClusterRoleBinding](t, object)
			want := rbacv1.Subject{Kind: "ServiceAccount", Namespace: in.Facts.Namespace, Name: object.GetLabels()[v1alpha1.ComponentLabel]}
			if strings.HasSuffix(object.GetName(), ":horizontal-pod-autoscaler") {
				want.Namespace, want.Name = "kube-system", "horizontal-pod-autoscaler"
			}
			if diff := cmp.Diff([]rbacv1.Subject{want}, binding.Subjects); diff != "" {
				t.Errorf("subjects of %s %s (-want +got):\n%s", object.GetKind(), object.GetName(), diff)
			}
			if reader[binding.RoleRef.Name] {
				reading[want.Name] = true
			}
		}
		if diff := cmp.Diff(components, reading); diff != "" {
			t.Errorf("components that may read extension-apiserver-authentication (-want +got):\n%s", diff)
		}
	})
}

// restricted returns a function that runs the API server's own checks of the level restricted, under which the operator's
// namespace stands, on the pods of rendered Deployments.
func restricted(t *testing.T) func(of string, objects []*unstructured.Unstructured) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	return func(of string, objects []*unstructured.Unstructured) {
		t.Helper()
		evaluated := 0
		for _, object := range objects {
			if object.GetKind() == "Prometheus" {
				evaluated++ // prometheus-operator makes the pods.
			}
			if object.GetKind() != "Deployment" {
				continue
			}
			template := decode[appsv1.Deployment](t, object).Spec.Template
			exempt(&template)
			results := evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec)
			if result := policy.AggregateCheckResults(results); len(results) == 0 || !result.Allowed {
				t.Errorf("%s: %s may not run: %s", of, object.GetName(), result.ForbiddenDetail())
			}
			evaluated++
		}
		if evaluated == 0 {
			t.Errorf("%s has no Deployment", of)
		}
	}
}

// exempt takes from pods what a field of the spec is for, and that no other field may bring along.
func exempt(template *corev1.PodTemplateSpec) { template.Spec.HostNetwork = false }

// TestPodSecurity is about what users can do to pods in each golden case, TestEveryCombinationIsRestricted about the rest.
func TestPodSecurity(t *testing.T) {
	evaluate := restricted(t)
	everyCase(t, func(t *testing.T, _ input, objects []*unstructured.Unstructured) {
		t.Helper()
		evaluate(t.Name(), objects)
	})
}

// TestNothingInsecureByDefault looks for the ways around TLS in everything that is rendered.
func TestNothingInsecureByDefault(t *testing.T) {
	everyCase(t, func(t *testing.T, in input, objects []*unstructured.Unstructured) {
		t.Helper()
		content, err := json.Marshal(objects)
		if err != nil {
			t.Fatal(err)
		}
		for _, forbidden := range []string{"insecureSkipTLSVerify", "insecureSkipVerify", "privileged\":true"} {
			if strings.Contains(string(content), forbidden) {
				t.Errorf("the objects contain %s", forbidden)
			}
		}
		onHost := in.Spec.MetricsServer.HostNetwork || in.Spec.PrometheusAdapter.HostNetwork
		if got := strings.Contains(string(content), "hostNetwork"); got != onHost {
			t.Errorf("hostNetwork: %v, wanted by the spec: %v", got, onHost)
		}
		wanted := in.Spec.MetricsServer.Kubelet.TLS.Verification == v1alpha1.TLSInsecure
		if got := strings.Contains(string(content), "--kubelet-insecure-tls"); got != wanted {
			t.Errorf("--kubelet-insecure-tls: %v, wanted by the spec: %v", got, wanted)
		}
	})
}

// TestMountsHaveVolumes sees that what JSON 6902 operations append fits together.
func TestMountsHaveVolumes(t *testing.T) {
	everyCase(t, func(t *testing.T, _ input, objects []*unstructured.Unstructured) {
		t.Helper()
		for _, object := range objects {
			if object.GetKind() != "Deployment" {
				continue
			}
			pod := decode[appsv1.Deployment](t, object).Spec.Template.Spec
			volumes, mounted := []string{}, []string{}
			for _, volume := range pod.Volumes {
				volumes = append(volumes, volume.Name)
			}
			for _, mount := range pod.Containers[0].VolumeMounts {
				mounted = append(mounted, mount.Name)
			}
			if diff := cmp.Diff(volumes, mounted); diff != "" {
				t.Errorf("%s: mounts differ from volumes (-volumes +mounts):\n%s", object.GetName(), diff)
			}
			if image := pod.Containers[0].Image; !strings.Contains(image, "/") {
				t.Errorf("%s: the asset's image %q was not replaced", object.GetName(), image)
			}
		}
	})
}

// TestObjectsCanBeCopied: kustomize's own maps have numbers as int, on which DeepCopy panics.
func TestObjectsCanBeCopied(t *testing.T) {
	everyCase(t, func(_ *testing.T, _ input, objects []*unstructured.Unstructured) {
		for _, object := range objects {
			object.DeepCopy()
		}
	})
}
