// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestIndexAgreesWithANewOne: whatever happened before, the index says the same as one that saw only what there is now. Services
// are made anew under their names, change their class and go, and the criteria change.
func TestIndexAgreesWithANewOne(t *testing.T) {
	before := caps
	t.Cleanup(func() { caps = before })
	caps[queries].apps, caps[queries].queries, caps[queries].bytes = 4, 2, 70
	caps[ports].apps, caps[ports].bytes = 3, 40
	caps[each].apps, caps[each].bytes = 5, 60
	kinds := []map[string]string{nil, annotated(), query(1), query(2), query(3), annotated("port", "80"), annotated("port", "0"),
		annotated("port", "9"), annotated("path", "/m?x="+"123456789012345678901234567890"),
		{"prometheus.io.scrape": "true"}, annotated("probe", "true"), annotated("probe", "true", "port", "0")}
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
		rules := usual
		w := newWatched(rules)
		services, pods := map[string]*corev1.Service{}, map[Kind]map[string]*metav1.PartialObjectMetadata{Pod: {}, HostPod: {}}
		workloads := map[string]*metav1.PartialObjectMetadata{}
		for step := range 500 {
			namespace := []string{"shop", "bank"}[random.IntN(2)]
			name := fmt.Sprintf("a%d", random.IntN(9))
			key, annotations := namespace+"/"+name, kinds[random.IntN(len(kinds))]
			kind := []Kind{Pod, HostPod}[random.IntN(2)]
			switch random.IntN(12) {
			case 0:
				rules.PerService, rules.Selectorless = random.IntN(2) == 0, random.IntN(2) == 0
				rules.Services, rules.Pods = random.IntN(8) > 0, random.IntN(8) > 0
				w.JudgeBy(rules)
			case 1, 2:
				if services[key] != nil {
					must(t, w.services().Delete(services[key]))
					delete(services, key)
				}
			case 3:
				if pods[kind][key] != nil {
					must(t, w.store[kind].Delete(pods[kind][key]))
					delete(pods[kind], key)
				}
			case 4: // A workload whose template has the annotation, or has it not, or that is gone.
				object := workloadOf(namespace, name, random.IntN(2) == 0)
				workloads[key] = object
				must(t, w.store[StatefulSet].Add(object))
				if random.IntN(3) == 0 {
					must(t, w.store[StatefulSet].Delete(object))
					delete(workloads, key)
				}
			case 5:
				pods[kind][key] = pod(namespace, name, annotations)
				must(t, w.store[kind].Add(pods[kind][key]))
			case 6: // Made anew, and the deletion was not seen.
				services[key] = made(int64(step/3), namespace, name, annotations)
				must(t, w.services().Add(services[key]))
			default:
				at := int64(step / 3)
				if services[key] != nil {
					at = services[key].CreationTimestamp.Unix()
				}
				services[key] = made(at, namespace, name, annotations)
				if random.IntN(5) == 0 {
					services[key].Spec.Selector = nil
				}
				must(t, w.services().Add(services[key]))
			}
			fresh := newWatched(rules)
			for _, s := range services {
				must(t, fresh.services().Add(s))
			}
			for _, object := range workloads {
				must(t, fresh.store[StatefulSet].Add(object))
			}
			for kind := range pods {
				for _, p := range pods[kind] {
					must(t, fresh.store[kind].Add(p))
				}
			}
			for _, host := range []bool{true, false} {
				all := func(string) Namespace { return Namespace{Scraped: true, HostNetwork: host} }
				if diff := cmp.Diff(fresh.Status(all), w.Status(all)); diff != "" {
					t.Fatalf("seed %d, step %d: status (-new +old):\n%s", seed, step, diff)
				}
			}
			for _, ns := range []string{"shop", "bank"} {
				if diff := cmp.Diff(fresh.View(ns), w.View(ns)); diff != "" {
					t.Fatalf("seed %d, step %d: view of %s (-new +old):\n%s", seed, step, ns, diff)
				}
				if diff := cmp.Diff(fresh.Annotated(ns).Workloads, w.Annotated(ns).Workloads); diff != "" {
					t.Fatalf("seed %d, step %d: workloads of %s (-new +old):\n%s", seed, step, ns, diff)
				}
			}
			if diff := cmp.Diff(len(fresh.namespaces), len(w.namespaces)); diff != "" {
				t.Fatalf("seed %d, step %d: namespaces (-new +old):\n%s", seed, step, diff)
			}
		}
	}
}
