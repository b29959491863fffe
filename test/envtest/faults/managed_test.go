// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"strings"
	"testing"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestManagedNamesTaken: what somebody else has made under the name of one of its objects is left as it is and named in the status, and
// once that is gone all stands as without it.
func TestManagedNamesTaken(t *testing.T) {
	w := begin(t)
	end := w.bringUp(managed)
	for _, object := range ofManaged(w) {
		// A shard is tried again after up to minutes, longer than is waited for here.
		if isShard(object) || strings.HasSuffix(object.GetName(), "-last-good") || object.GetNamespace() == "" {
			continue
		}
		inject(t, "name taken", 1, func() {
			w.noApps()
			w.clear()
			foreign := object.DeepCopy()
			foreign.SetLabels(nil)
			foreign.SetOwnerReferences(nil)
			foreign.SetUID("")
			foreign.SetResourceVersion("")
			foreign.SetManagedFields(nil)
			w.must(w.Client.Create(w.Ctx, foreign))
			w.apply(managed.spec)
			apps(w)
			w.eventually(func() string {
				pipeline, _ := w.pipeline()
				for _, condition := range pipeline.Status.Conditions {
					if strings.Contains(condition.Message, object.GetName()+" ") && strings.Contains(condition.Message, "is left alone") {
						return ""
					}
				}
				return fmt.Sprintf("%s is not said to be taken: %+v", harness.Identity(object), pipeline.Status.Conditions)
			})
			if found := w.read(foreign); len(found.GetLabels())+len(found.GetOwnerReferences()) > 0 {
				t.Errorf("%s was taken over: %v", harness.Identity(object), found.GetLabels())
			}
			w.must(w.Client.Delete(w.Ctx, foreign))
			w.reaches(end, harness.Identity(object)+" was somebody else's")
		})
	}
}
