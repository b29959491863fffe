package cluster

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/metricspipeline/operator/test/cluster/internal/components"
)

var (
	//go:embed manifests/cert-manager.yaml
	certManagerManifest string
	//go:embed manifests/olm.yaml
	olmManifest string
)

// optionalTimeout bounds the installation, after the building, and the removal of an addon.
const optionalTimeout = 2 * time.Minute

// optional is an addon that a cluster starts without.
type optional struct {
	// component has its custom resources in the folder crds of its module.
	component, crds string
	images          []image
	manifest        string
	// namespace of the deployments.
	namespace   string
	deployments []string
}

// optionals are the addons that can be installed and removed, by name.
var optionals = map[string]optional{
	"cert-manager": {
		component: "cert-manager",
		crds:      filepath.Join("deploy", "crds"),
		images: []image{{
			binary: components.CertManager, repository: "quay.io/jetstack/cert-manager-controller", path: "/controller",
		}},
		manifest:    certManagerManifest,
		namespace:   "cert-manager",
		deployments: []string{"cert-manager"},
	},
	"operator-lifecycle-manager": {
		component: "operator-lifecycle-manager",
		crds:      filepath.Join("deploy", "chart", "crds"),
		images: []image{
			{
				binary: components.OLM, repository: "quay.io/operator-framework/olm", path: "/bin/olm",
				more: map[string]string{
					"/bin/catalog": components.Catalog, "/bin/cpb": components.CopyBundle, "/bin/cp": components.Copy,
				},
			},
			{binary: components.OPM, repository: "quay.io/operator-framework/opm", path: "/bin/opm"},
		},
		manifest:    olmManifest,
		namespace:   "olm",
		deployments: []string{"olm-operator", "catalog-operator"},
	},
}

// Addons are the names of the addons that can be installed and removed.
func Addons() []string { return components.Optional }

// InstallAddon builds an addon if need be, puts it into the cluster, and waits until it runs.
func (c *Cluster) InstallAddon(ctx context.Context, name string) error {
	s, addon, crds, err := c.addon(ctx, "addon install", name)
	if err != nil {
		return err
	}
	if s.binaries, err = c.builder.Binaries(ctx, binariesOf(addon.images)...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, optionalTimeout)
	defer cancel()
	for _, image := range addon.images {
		if err := s.loadImage(ctx, image); err != nil {
			return err
		}
	}
	if _, err := s.kubectl(ctx, "", "apply", "--server-side", "--filename", crds); err != nil {
		return fmt.Errorf("applying the custom resources of %s: %w", name, err)
	}
	// Its controllers end when what they watch is not served yet.
	if _, err := s.kubectl(ctx, "", "wait", "--for=condition=Established", "--timeout=30s", "--filename", crds); err != nil {
		return err
	}
	if err := s.apply(ctx, addon.manifest); err != nil {
		return fmt.Errorf("applying %s: %w", name, err)
	}
	for _, deployment := range addon.deployments {
		if err := s.waitForWorkload(ctx, "deployment/"+deployment, addon.namespace, "Available"); err != nil {
			return err
		}
	}
	c.log("%s is installed", name)
	return nil
}

// binariesOf returns the names of what is in the images.
func binariesOf(images []image) []string {
	var names []string
	for _, i := range images {
		names = append(names, i.binary)
		names = slices.AppendSeq(names, maps.Values(i.more))
	}
	return names
}

// RemoveAddon takes an addon away, with its custom resources and all objects of them, and waits until they are gone. What
// is not there is no error.
func (c *Cluster) RemoveAddon(ctx context.Context, name string) error {
	s, addon, crds, err := c.addon(ctx, "addon remove", name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, optionalTimeout)
	defer cancel()
	remove := []string{"delete", "--ignore-not-found", "--wait", "--filename"}
	if _, err := s.kubectl(ctx, addon.manifest, append(remove, "-")...); err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	if _, err := s.kubectl(ctx, "", append(remove, crds)...); err != nil {
		return fmt.Errorf("removing the custom resources of %s: %w", name, err)
	}
	c.log("%s is removed", name)
	return nil
}

// addon returns the addon of that name and the folder of its custom resources, for a command on a cluster that is up.
func (c *Cluster) addon(ctx context.Context, command, name string) (*starter, optional, string, error) {
	addon, ok := optionals[name]
	if !ok {
		return nil, addon, "", fmt.Errorf("no addon %q: there are %s", name, strings.Join(Addons(), ", "))
	}
	s, err := c.running(command)
	if err != nil {
		return nil, addon, "", err
	}
	dir, err := c.builder.ModuleDir(ctx, addon.component)
	return s, addon, filepath.Join(dir, addon.crds), err
}
