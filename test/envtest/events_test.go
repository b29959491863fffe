// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// events returns what was announced about the pipeline that there is, each as its reason and note.
func (w *world) events() []string {
	w.t.Helper()
	pipeline := &v1alpha1.MetricsPipeline{}
	w.Expect(w.Client.Get(w.t.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline)).To(Succeed())
	return w.eventsAbout(pipeline)
}

// eventsAbout returns what was announced about an object, each as its reason and note.
func (w *world) eventsAbout(object client.Object) []string {
	w.t.Helper()
	list := &eventsv1.EventList{}
	w.Expect(w.Client.List(w.t.Context(), list)).To(Succeed())
	announced := []string{}
	for _, event := range list.Items {
		if event.Regarding.UID == object.GetUID() {
			announced = append(announced, event.Reason+": "+event.Note)
		}
	}
	return announced
}
