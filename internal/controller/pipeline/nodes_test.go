// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kubelet"
)

// TestNodesAtRest: with metrics of all nodes nothing is sent after the first look.
func TestNodesAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3)
		f.ready(true)
		f.measured(f.observation.Facts.Nodes...)
		f.expect(f.look(), status(3, 3), 0, [2]int{1, 0})
		time.Sleep(24 * time.Hour)
		f.expect(f.look(), status(3, 3), 0, [2]int{0, 0})
	})
}

// TestNodesOfAComponentThatIsNotReady: a sample of the kubelets is asked, before anything runs, and again with a backoff.
func TestNodesOfAComponentThatIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 50)
		if found, _ := f.Look(f.observation, nil); found.Known {
			t.Errorf("known before a kubelet has answered: %+v", found)
		}
		sample := kubelet.Sample(f.observation.Facts.Nodes)
		f.expect(f.look(), status(50, 0, unknownAuthority(sample...)...), kubelet.MostAsked, [2]int{0, kubelet.MostAsked})
		f.look()
		time.Sleep(time.Hour)
		synctest.Wait()
		if asked := f.asked[sample[0]]; asked < 25 || asked > 35 {
			t.Errorf("a kubelet that fails was asked %d times in an hour, want once in two minutes", asked)
		}

		f.measured(f.observation.Facts.Nodes...)
		f.ready(true)
		f.sent()
		f.expect(f.look(), status(50, 50), 0, [2]int{1, 0})
	})
}

// TestNodesWhoseKubeletCanBeRead in part: the component will be ready, so nothing is said of it.
func TestNodesWhoseKubeletCanBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3)
		f.measured("node-01")
		f.expect(f.look(), status(3, 0, unknownAuthority("node-00", "node-02")...), 0, [2]int{0, 3})
	})
}

// TestKubeletThatFailsLater, while its node has no metrics yet, brings no event.
func TestKubeletThatFailsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		f.fails("node-00", nil)
		f.expect(f.look(), status(1, 0), 0, [2]int{0, 1})
		f.fails("node-00", &kubelet.Fault{Reason: v1alpha1.NodeUnknownAuthority, Message: "unknown"})
		time.Sleep(kubeletPeriod)
		f.expect(f.look(), status(1, 0, unknownAuthority("node-00")...), 1, [2]int{0, 1})
	})
}

// TestRolloutThatVerifiesNothing: the pods before it serve, and there are metrics of every node.
func TestRolloutThatVerifiesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		f.measured(f.observation.Facts.Nodes...)
		f.ready(true)
		f.look()
		f.sent()
		f.observation.Plan.Components[0].Kubelets.Authority = []byte("wrong")
		f.observation.Workloads["reader"][0].Deployment.Status.UpdatedReplicas = 0
		for _, name := range f.observation.Facts.Nodes {
			f.fails(name, &kubelet.Fault{Reason: v1alpha1.NodeUnknownAuthority, Message: "unknown"})
		}
		f.expect(f.look(), status(2, 2), 2, [2]int{0, 2})
	})
}

// TestNodeJoins: only it is asked, and nothing is wrong with it for some time.
func TestNodeJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		f.ready(true)
		f.measured(f.observation.Facts.Nodes...)
		f.look()
		f.sent()
		f.observation.Facts.Nodes = append(f.observation.Facts.Nodes, "node-new")
		f.expect(f.look(), status(3, 2), 0, [2]int{1, 1})
		_, wait := f.Look(f.observation, f.before)
		if wait != time.Minute {
			t.Errorf("looks again after %s, want the patience", wait)
		}
		time.Sleep(wait)
		without := v1alpha1.NodeFailure{Name: "node-new", Reason: v1alpha1.NodeNoMetrics,
			Message: "metrics.k8s.io has no metrics of the node. Its kubelet answers, with a certificate that is accepted."}
		if diff := cmp.Diff(status(3, 2, without), f.look().Status); diff != "" {
			t.Errorf("after its patience (-want +got):\n%s", diff)
		}

		f.restart()
		if found, _ := f.Look(f.observation, f.before); found.Known {
			t.Errorf("known right after a restart: %+v", found)
		}
		if diff := cmp.Diff(status(3, 2, without), f.look().Status); diff != "" {
			t.Errorf("a restart changes what is said (-before +after):\n%s", diff)
		}

		f.measured("node-new")
		time.Sleep(2 * time.Minute)
		if diff := cmp.Diff(status(3, 3), f.look().Status); diff != "" {
			t.Errorf("with its metrics (-want +got):\n%s", diff)
		}
	})
}

// TestNodesThatChangeAllTheTime are reported at a pace.
func TestNodesThatChangeAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		f.look()
		changes, last := 0, f.before
		for i := range 300 {
			f.fails("node-00", &kubelet.Fault{Reason: v1alpha1.NodeRefused, Message: fmt.Sprint(i)})
			f.observation.Plan.Components[0].Kubelets.Authority = fmt.Appendf(nil, "%d", i) // Has it asked at once.
			if found := f.look(); !cmp.Equal(found.Status, last) {
				changes, last = changes+1, found.Status
			}
			time.Sleep(time.Second)
		}
		if changes < nodesBurst || changes > nodesBurst+5 {
			t.Errorf("%d changes in 5 minutes, want %d and then one a minute", changes, nodesBurst)
		}
		_, wait := f.Look(f.observation, f.before)
		time.Sleep(wait)
		if found := f.look(); found.Status.Failing[0].Message != "299" {
			t.Errorf("the last change is not reported: %+v", found.Status)
		}
	})
}

// TestNodesWithoutAQuestion: where there is nothing to know, nothing is sent.
func TestNodesWithoutAQuestion(t *testing.T) {
	for name, change := range map[string]func(*fleet){
		"no nodes": func(f *fleet) { f.observation.Facts.Nodes = []string{} },
		"Disabled": func(f *fleet) { f.observation.Spec.ResourceMetrics.Policy = v1alpha1.PolicyDisabled },
		"nobody reads them, and no API": func(f *fleet) {
			f.observation.Plan.Components, f.observation.APIServices = nil, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 2)
				change(f)
				f.expect(f.look(), nil, 0, [2]int{0, 0})
			})
		})
	}
}

// TestNodesOfAForeignAPI: metrics of nodes are counted, and no kubelet is asked: by what it is read is not known.
func TestNodesOfAForeignAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		f.ready(true)
		f.observation.Plan.Components = nil
		f.measured("node-00")
		f.expect(f.look(), status(2, 1), 0, [2]int{1, 0})
		time.Sleep(foreignPatience)
		if found := f.look(); len(found.Status.Failing) != 1 || found.Status.Failing[0].Reason != v1alpha1.NodeNoMetrics {
			t.Errorf("after %s: %+v", foreignPatience, found.Status)
		}
	})
}

// TestNodesThatCannotBeKnown: what cannot be asked changes nothing, and hides nothing else.
func TestNodesThatCannotBeKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		f.unreadable = errors.New("forbidden")
		f.expect(f.look(), status(2, 0), 0, [2]int{0, 0})

		f.ready(true)
		f.measured(f.observation.Facts.Nodes...)
		f.listErr = errors.New("503")
		f.before = status(2, 1)
		f.expect(f.look(), status(2, 1), 0, [2]int{1, 0})
		for _, change := range []func(){
			func() { f.observation.Facts.Nodes = nil }, func() { f.observation.Planned = false }} {
			change()
			if diff := cmp.Diff(status(2, 1), f.look().Status); diff != "" {
				t.Errorf("without a plan, or the nodes (-before +after):\n%s", diff)
			}
		}
	})
}

// TestNodesAskedAgain when what they are verified by changes.
func TestNodesAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		f.look()
		f.sent()
		f.observation.Plan.Components[0].Kubelets.Authority = []byte("two")
		f.faults = map[string]*kubelet.Fault{}
		f.expect(f.look(), status(2, 0), 0, [2]int{0, 2})
	})
}
