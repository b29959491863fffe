// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// replaced stands for what a report does not have.
const replaced = "REDACTED"

// cleanMeta drops what repeats the object, and what only the API server needs.
func cleanMeta(object *metav1.ObjectMeta) {
	object.ManagedFields = nil
	delete(object.Annotations, corev1.LastAppliedConfigAnnotation)
}

// cleanPipeline leaves the counts of lists that name apps of tenants, and drops what may have a secret in it.
func cleanPipeline(found *v1alpha1.MetricsPipeline) {
	delete(found.Annotations, corev1.LastAppliedConfigAnnotation)
	for i := range found.Spec.Patches {
		found.Spec.Patches[i].Patch = replaced
	}
	// Derived rules are named by what tenants ask for.
	found.Status.Rules = slices.DeleteFunc(found.Status.Rules, func(rule v1alpha1.RuleStatus) bool {
		return rule.Origin == v1alpha1.RuleDerived
	})
	if autoscalers := found.Status.Autoscalers; autoscalers != nil {
		autoscalers.Failing = nil
	}
	if scrape := found.Status.Scrape; scrape != nil {
		scrape.Rejected, scrape.NearMisses, scrape.NotScraped, scrape.Down = nil, nil, nil, nil
	}
}

// cleanPod replaces the values of environment variables, but for the names of images.
func cleanPod(pod *corev1.PodSpec) {
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			for j := range containers[i].Env {
				variable := &containers[i].Env[j]
				if variable.Value != "" && !strings.HasPrefix(variable.Name, "RELATED_IMAGE_") {
					variable.Value = replaced
				}
			}
		}
	}
}

// tenants are the namespaces that are neither the operator's, nor the chosen Prometheus', nor Kubernetes' own.
func (g *gathered) tenants(ctx context.Context) ([]string, error) {
	var names []string
	list := metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	for next := ""; ; {
		if err := g.reader.List(ctx, &list, client.Limit(page), client.Continue(next)); err != nil {
			return names, err
		}
		for _, namespace := range list.Items {
			if name := namespace.Name; name != g.namespace && name != g.source && !strings.HasPrefix(name, "kube-") {
				names = append(names, name)
			}
		}
		if next = list.Continue; next == "" {
			return names, nil
		}
	}
}

// counts says how many objects of some kinds there are, without reading them.
func (g *gathered) counts(ctx context.Context) {
	var out strings.Builder
	for _, kind := range []schema.GroupVersionKind{
		{Version: "v1", Kind: "Namespace"}, {Version: "v1", Kind: "Node"}, {Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Service"},
		{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
		{Group: "monitoring.coreos.com", Version: "v1", Kind: "Prometheus"},
		{Group: "monitoring.coreos.com", Version: "v1alpha1", Kind: "PrometheusAgent"},
		{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"},
		{Group: "monitoring.coreos.com", Version: "v1", Kind: "PodMonitor"},
		{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"},
		{Group: "autoscaling.k8s.io", Version: "v1", Kind: "VerticalPodAutoscaler"},
	} {
		list := metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		count := "not known"
		if err := g.reader.List(ctx, &list, client.Limit(1)); err == nil {
			number := int64(len(list.Items))
			if list.RemainingItemCount != nil {
				number += *list.RemainingItemCount
			}
			count = fmt.Sprint(number)
		}
		fmt.Fprintf(&out, "%-24s %s\n", kind.Kind, count)
	}
	g.files = append(g.files, reportFile{"counts.txt", []byte(out.String())})
}

// redactor replaces credentials, and names of tenants' namespaces with what is in them.
type redactor struct{ rules []redaction }

type redaction struct {
	expression *regexp.Regexp
	by         string
}

func newRedactor(namespaces []string) redactor {
	all := []redaction{
		{regexp.MustCompile(`://[^/\s:@"']+:[^/\s@"']+@`), "://" + replaced + "@"},
		{regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}`), "$1 " + replaced},
		{regexp.MustCompile(`\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`), replaced},
		{regexp.MustCompile(`(?i)\b(password|passwd|token|secret|api[_-]?key)(["']?\s*[:=]\s*["']?)[^\s"',;]{4,}`), "${1}${2}" + replaced},
		{regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----`), replaced},
	}
	const tenant = "TENANT"
	names := slices.Clone(namespaces)
	// The longest first: one name may be the beginning of another.
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	for i, name := range names {
		names[i] = regexp.QuoteMeta(name)
	}
	if len(names) > 0 {
		one := `(?:` + strings.Join(names, "|") + `)`
		all = append(all,
			// namespaces/shop/pods/web, "namespace":"shop", namespace=\"shop\", namespace shop.
			redaction{regexp.MustCompile(`(namespaces?(?:\\?["'])?(?:/|\s*[:=]~?\s*|\s+)(?:\\?["'])?)` + one +
				`\b((?:/[a-z]+/)[A-Za-z0-9.*-]+)?`), "${1}" + tenant},
			// shop/web, and "shop".
			redaction{regexp.MustCompile(`(^|[^A-Za-z0-9./-])` + one + `/[a-z0-9][a-z0-9.-]*`), "${1}" + tenant},
			redaction{regexp.MustCompile(`(\\?["'])` + one + `(\\?["'])`), "${1}" + tenant + "${2}"},
			// http_requests{namespace="shop",pod="web-1"}, and "namespace":"shop","name":"web".
			redaction{regexp.MustCompile(`([A-Za-z0-9_])\{[^{}]*\b` + tenant + `\b[^{}]*\}`), "${1}{" + tenant + "}"},
			redaction{regexp.MustCompile(`(\b` + tenant + `\\?"\s*,\s*\\?"name\\?"\s*:\s*\\?")[^"\\]+`), "${1}" + tenant})
	}
	return redactor{all}
}

func (r redactor) text(content []byte) []byte {
	for _, rule := range r.rules {
		content = rule.expression.ReplaceAll(content, []byte(rule.by))
	}
	return content
}
