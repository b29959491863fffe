// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// OnlyAsRead lets an object be written only over the one that was read: where that was deleted or has changed since, the API
// server answers a conflict.
func OnlyAsRead(desired *unstructured.Unstructured, read client.Object) {
	desired.SetUID(read.GetUID())
	desired.SetResourceVersion(read.GetResourceVersion())
}
