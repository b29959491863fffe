// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/rest"
)

const (
	// nodeMetrics is where the API server serves NodeMetrics.
	nodeMetrics = "/apis/metrics.k8s.io/v1beta1/nodes"
	// mostBytes bounds an answer, whose backend may be anyone's: 5000 nodes are about 3 MiB.
	mostBytes = 32 << 20
)

// WithMetrics returns the names of the nodes that metrics.k8s.io has metrics of, by one list of NodeMetrics.
func WithMetrics(ctx context.Context, api rest.Interface) (sets.Set[string], error) {
	stream, err := api.Get().AbsPath(nodeMetrics).SetHeader("Accept", "application/json").Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("list NodeMetrics: %w", err)
	}
	defer func() { _ = stream.Close() }()
	var list struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		} `json:"items"`
	}
	if err := json.NewDecoder(io.LimitReader(stream, mostBytes)).Decode(&list); err != nil {
		return nil, fmt.Errorf("decode the list of NodeMetrics: %w", err)
	}
	names := sets.New[string]()
	for _, item := range list.Items {
		names.Insert(item.Metadata.Name)
	}
	return names, nil
}
