// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package olm

import (
	"errors"
	"fmt"
	"slices"

	. "github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// pipelineOf creates the pipeline that the bundle offers.
func (w *world) pipelineOf(b *bundle) error {
	examples, err := b.examples()
	if err != nil {
		return err
	}
	for _, example := range examples {
		if example.GetName() == v1alpha1.SingletonName {
			return w.Client.Create(w.Ctx, example, client.FieldOwner("user"))
		}
	}
	return errors.New("alm-examples has no pipeline of the only name that one can have")
}

// ready waits until the operator of a version says that the pipeline is Ready.
func (w *world) ready(version string) {
	w.t.Helper()
	w.Eventually(func(g Gomega) {
		pipeline, err := w.Pipeline()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pipeline.Status.Version).To(Equal(version))
		ready := apimeta.FindStatusCondition(pipeline.Status.Conditions, v1alpha1.ConditionReady)
		g.Expect(ready).NotTo(BeNil())
		g.Expect(ready.Status).To(Equal(metav1.ConditionTrue), fmt.Sprintf("%s: %s", ready.Reason, ready.Message))
		g.Expect(ready.ObservedGeneration).To(Equal(pipeline.Generation))
	}).Should(Succeed())
	table, err := w.Kubectl(w.Ctx, "wait", "--for=condition=Ready", "metricspipeline/default", "--timeout=1s")
	w.Expect(err).NotTo(HaveOccurred(), table)
}

// deployed returns the identities of what the operator has made.
func (w *world) deployed() []string {
	w.t.Helper()
	managed, err := w.Managed(w.Ctx)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(managed).NotTo(BeEmpty())
	var identities []string
	for i := range managed {
		identities = append(identities, harness.Identity(&managed[i]))
	}
	slices.Sort(identities)
	return identities
}
