// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
)

// Dump writes what one needs to find out why something did not work: the pipeline, the APIServices, the pods and events
// of the namespaces involved, and the last lines of every log. What cannot be had is said instead. It takes at most a
// minute, also when ctx has ended: that may be what went wrong.
func (c *Cluster) Dump(ctx context.Context, out io.Writer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	c.dump(ctx, out, "get", "metricspipeline", v1alpha1.SingletonName, "-o", "yaml")
	c.dump(ctx, out, "-n", "default", "get", "events", "--field-selector=involvedObject.kind=MetricsPipeline", "--sort-by=.lastTimestamp")
	c.dump(ctx, out, "get", "apiservice", "-o", "wide")
	for _, namespace := range []string{OperatorNamespace, SampleNamespace} {
		c.dump(ctx, out, "-n", namespace, "get", "pods,deployments,hpa", "-o", "wide")
		c.dump(ctx, out, "-n", namespace, "get", "events", "--sort-by=.lastTimestamp")
	}
	c.dumpLogs(ctx, out, OperatorNamespace)
}

func (c *Cluster) dump(ctx context.Context, out io.Writer, args ...string) {
	text, err := c.Kubectl(ctx, args...)
	if err != nil {
		text += err.Error()
	}
	fmt.Fprintf(out, "\n--- kubectl %s\n%s\n", strings.Join(args, " "), strings.TrimSpace(text))
}

// dumpLogs writes the logs of a namespace: the operator's at length, those of the others shorter.
func (c *Cluster) dumpLogs(ctx context.Context, out io.Writer, namespace string) {
	pods := &corev1.PodList{}
	if err := c.Client.List(ctx, pods, client.InNamespace(namespace)); err != nil {
		fmt.Fprintf(out, "\n--- logs of %s: %v\n", namespace, err)
		return
	}
	for _, pod := range pods.Items {
		lines := int64(30)
		if strings.HasPrefix(pod.Name, OperatorName) {
			lines = 200
		}
		log, err := c.Kube.CoreV1().Pods(namespace).GetLogs(pod.Name, &corev1.PodLogOptions{TailLines: ptr.To(lines)}).DoRaw(ctx)
		if err != nil {
			log = append(log, err.Error()...)
		}
		fmt.Fprintf(out, "\n--- log of pod %s/%s, last %d lines\n%s\n", namespace, pod.Name, lines, log)
	}
}
