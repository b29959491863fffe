// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

// What is read, each by one request with a limit, in the HPA's own namespace unless said otherwise. Of up to mostDescribed Services that
// metrics describe the pods are listed too, by one request for each selector, and such a Service itself by its name where the list of all
// had no room for it. Who has no permission for one of them gets the rest of the evidence. The operator's markers are beside its
// controller, which is who reads there; as markers they are:
//
//	groups="",resources=pods;services,verbs=list                          its pods, Services, and the pods of described ones
//	groups="",resources=namespaces,verbs=get                              the labels of its namespace
//	groups=autoscaling,resources=horizontalpodautoscalers,verbs=list      others with the same target
//	groups=apps,resources=deployments/scale;replicasets/scale;statefulsets/scale,verbs=get
//	groups="",resources=replicationcontrollers/scale,verbs=get            the target; another kind needs get of its scale as well
//	groups=keda.sh,resources=scaledobjects,verbs=get                      the one that made the HPA, where KEDA is installed
//	groups=autoscaling.k8s.io,resources=verticalpodautoscalers,verbs=list where VPA is installed
//	groups=monitoring.coreos.com,resources=servicemonitors;podmonitors,verbs=list
//	groups=metrics.k8s.io,resources=pods,verbs=list                       which pods have usage
//
// A caller that gives neither Sources.Pipeline nor Sources.Scraper, as the command line does, reads these of the whole cluster too:
//
//	groups=metricspipeline.io,resources=metricspipelines,verbs=get
//	groups=monitoring.coreos.com,resources=prometheuses;prometheusagents,verbs=get
//	groups=apiregistration.k8s.io,resources=apiservices,verbs=get         where there is no pipeline
//
// ReplicaSets are not read: the name of one, and the hash that its pods have as a label, say which workload made it.
