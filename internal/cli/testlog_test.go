// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

// testLog is what every container of the fake API server has logged.
const testLog = `{"msg":"The API server refuses the monitors","namespace":"shop"}
GET /apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/http_requests
unable to fetch http_requests{namespace="shop",pod=~"web-1"} from http://user:hunter2@prometheus.monitoring.svc
Authorization: Bearer abcdefghijklmnop
Service shop/web is in no monitor
`
