// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package olm

import (
	"os"
	"regexp"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// uninstall deletes the Subscription and the ClusterServiceVersion, as OLM's documentation has it, and returns once garbage
// collection has followed.
func (w *world) uninstall(b *bundle) {
	w.t.Helper()
	w.delete(olmKind("Subscription"), packageName)
	w.delete(olmKind(csvKind), b.csv.GetName())
	w.gone(olmKind(csvKind), b.csv.GetName())
	w.gone(appsv1.SchemeGroupVersion.WithKind("Deployment"), operatorName)
	w.collected()
}

// collected waits until garbage collection has taken something that came after what it has taken before.
func (w *world) collected() {
	w.t.Helper()
	orphan := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, GenerateName: "orphan-",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: uuid.NewUUID()}}}}
	w.Expect(w.Client.Create(w.Ctx, orphan)).To(Succeed())
	w.Eventually(func() bool {
		key := harness.InOperatorNamespace(orphan.Name)
		return apierrors.IsNotFound(w.Client.Get(w.Ctx, key, &corev1.ConfigMap{}))
	}).Should(BeTrue(), "garbage collection does not work")
}

func (w *world) everything() []string {
	w.t.Helper()
	all, err := w.Everything(w.Ctx)
	w.Expect(err).NotTo(HaveOccurred())
	return all
}

// added returns, for Eventually, what is there now and was not before.
func (w *world) added(before []string) func() []string {
	// The API server has an APIService for each group version of a CustomResourceDefinition.
	before = append(slices.Clone(before), "APIService "+v1alpha1.GroupVersion.Version+"."+v1alpha1.GroupVersion.Group)
	return func() []string {
		return slices.DeleteFunc(w.everything(), func(object string) bool { return slices.Contains(before, object) })
	}
}

var (
	remainsSection = regexp.MustCompile(`(?s)\n## What is left\n(.*?)(\n## |$)`)
	remainsRow     = regexp.MustCompile("(?m)^\\| `([^`]+)` ")
)

// documentedRemains reads which objects an uninstallation leaves behind, by the documentation.
func documentedRemains(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(harness.InProject("docs/olm.md"))
	if err != nil {
		t.Fatal(err)
	}
	section := remainsSection.FindStringSubmatch(string(content))
	if section == nil {
		t.Fatal("docs/olm.md has no section What is left")
	}
	var remains []string
	for _, row := range remainsRow.FindAllStringSubmatch(section[1], -1) {
		remains = append(remains, row[1])
	}
	return remains
}
