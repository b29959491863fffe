// The sandbox container that holds a pod's namespaces open.
module github.com/metricspipeline/operator/test/cluster/components/pause

go 1.26.0
