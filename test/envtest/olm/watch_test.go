// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package olm

import (
	"context"
	"fmt"
	"sync"

	. "github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// watching sees every change of the pipeline and of the metrics APIs.
type watching struct {
	end   context.CancelFunc
	ended sync.WaitGroup

	mutex sync.Mutex
	seen  []string
}

// watch begins with all of them as they are.
func (w *world) watch() *watching {
	w.t.Helper()
	watcher, err := client.NewWithWatch(w.Config, client.Options{Scheme: harness.Scheme})
	w.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(w.Ctx)
	w.t.Cleanup(cancel)
	watching := &watching{end: cancel}
	for _, list := range []client.ObjectList{&v1alpha1.MetricsPipelineList{}, &apiregv1.APIServiceList{}} {
		changes, err := watcher.Watch(ctx, list)
		w.Expect(err).NotTo(HaveOccurred())
		watching.ended.Go(func() {
			defer changes.Stop()
			for change := range changes.ResultChan() {
				if ctx.Err() == nil {
					watching.note(change)
				}
			}
		})
	}
	return watching
}

func (w *watching) note(change watch.Event) {
	what := ""
	switch object := change.Object.(type) {
	case *v1alpha1.MetricsPipeline:
		if change.Type == watch.Deleted {
			what = "the pipeline was deleted"
		} else if ready := apimeta.FindStatusCondition(object.Status.Conditions, v1alpha1.ConditionReady); ready.Status != metav1.ConditionTrue {
			what = fmt.Sprintf("the pipeline: Ready is %s, %s: %s", ready.Status, ready.Reason, ready.Message)
		}
	case *apiregv1.APIService:
		if change.Type == watch.Deleted {
			what = object.Name + " was deleted"
		}
		for _, condition := range object.Status.Conditions {
			if condition.Type == apiregv1.Available && condition.Status != apiregv1.ConditionTrue {
				what = fmt.Sprintf("%s: Available is %s, %s: %s", object.Name, condition.Status, condition.Reason, condition.Message)
			}
		}
	default:
		what = fmt.Sprintf("the watch ended: %v", change.Object)
	}
	if what != "" {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		w.seen = append(w.seen, what)
	}
}

// stop returns what was not ready or not available at any time.
func (w *watching) stop() []string {
	w.end()
	w.ended.Wait()
	return w.seen
}
