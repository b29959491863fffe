// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
)

// Version is one written state of an object: two are the same when no client wrote between them anything
// but a status.
type Version struct {
	UID        string
	Generation int64
	// ResourceVersion of an object of which no status is written, else empty.
	ResourceVersion string
	// Applied is when the operator's last write changed something.
	Applied string
}

// Snapshot returns the versions of all managed objects by kind, namespace and name.
func (c *Cluster) Snapshot(ctx context.Context) (map[string]Version, error) {
	objects, err := c.Managed(ctx, false)
	if err != nil {
		return nil, err
	}
	versions := map[string]Version{}
	for i := range objects {
		versions[objects[i].Kind+" "+client.ObjectKeyFromObject(&objects[i]).String()] = versionOf(&objects[i])
	}
	return versions, nil
}

func versionOf(object *metav1.PartialObjectMetadata) Version {
	version := Version{UID: string(object.UID), Generation: object.Generation}
	withStatus := slices.ContainsFunc(object.ManagedFields, func(entry metav1.ManagedFieldsEntry) bool {
		return entry.Subresource == "status"
	})
	if !withStatus {
		version.ResourceVersion = object.ResourceVersion
	}
	for _, entry := range object.ManagedFields {
		if entry.Manager == v1alpha1.FieldManager && entry.Subresource == "" {
			version.Applied = entry.Time.String()
		}
	}
	return version
}
