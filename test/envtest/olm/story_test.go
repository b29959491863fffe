// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package olm

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestLifecycle: a user subscribes to the previous release, creates the pipeline that the bundle offers, approves the upgrade,
// and takes the operator away again, which stops nothing that works. What is left after the pipeline was deleted is what the
// documentation lists. Then the operator is installed once more, for its own namespace alone.
func TestLifecycle(t *testing.T) {
	w := begin(t)
	before, err := readBundle(harness.InProject("test/testdata/releases/"+previous+"/bundle"), previous)
	w.Expect(err).NotTo(HaveOccurred())
	current, err := readBundle(harness.InProject("bundle"), "current")
	w.Expect(err).NotTo(HaveOccurred())
	w.serve(before, current)
	w.group()
	untouched := w.everything()

	w.step("install")
	w.subscribe("Manual", before)
	w.approve(before)
	w.succeeds(before)
	w.Expect(w.pipelineOf(before)).To(Succeed())
	w.ready(previous)

	w.step("upgrade")
	watching := w.watch()
	w.approve(current)
	w.succeeds(current)
	w.gone(olmKind(csvKind), before.csv.GetName())
	w.ready(current.release())
	w.Expect(watching.stop()).To(BeEmpty(), "what was not available during the upgrade")
	w.grantsNoMoreThanInstallation()

	w.step("uninstall")
	watching = w.watch()
	deployed := w.deployed()
	w.uninstall(current)
	w.Expect(w.deployed()).To(Equal(deployed), "what the operator deployed")
	w.Expect(watching.stop()).To(BeEmpty(), "what was not available without the operator")
	w.Expect(w.DeletePipeline()).To(Succeed())
	w.Eventually(w.added(untouched)).Should(ConsistOf(documentedRemains(t)))

	w.step("install for one namespace")
	w.delete(groupKind, groupName)
	w.group(harness.OperatorNamespace)
	w.subscribe("Automatic", current)
	w.succeeds(current)
	w.grantsNoMoreThanInstallation()
	w.Expect(w.pipelineOf(current)).To(Succeed())
	w.ready(current.release())
}
