// Command coredns is CoreDNS with the plugins that the cluster's Corefile names and no other: those for clouds take longer to
// compile than all the rest of it.
package main

import (
	"github.com/coredns/coredns/coremain"

	// Each registers its plugin when it is imported.
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() { coremain.Run() }
