package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/metricspipeline/operator/test/cluster/internal/cluster"
	"github.com/metricspipeline/operator/test/cluster/internal/images"
)

func (p *program) push() *cobra.Command {
	var folders, binaries []string
	image := images.Image{Scratch: true}
	command := &cobra.Command{
		Use:   "push NAME:TAG",
		Short: "Pack an image, push it to a registry on the node's loopback, and print its reference there, by digest (root)",
		Long: `Pack an image from folders and static executables and push it to a registry on the node's loopback, which the first push
starts. Prints the reference by which pods get it. Needs root. What has to be pulled is tested with this; load puts an
image where the kubelet finds it without a registry.`,
		Example: "  cluster push bundle:dev --folder bundle/manifests:/manifests --folder bundle/metadata:/metadata",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := p.buildingCluster()
			if err != nil {
				return err
			}
			image.Name = args[0]
			if image.Folders, err = destinations(folders); err != nil {
				return err
			}
			if image.Executables, err = destinations(binaries); err != nil {
				return err
			}
			if err := c.ResolveBinaries(command.Context(), image.Executables); err != nil {
				return err
			}
			reference, err := c.Push(command.Context(), image)
			if err == nil {
				fmt.Fprintln(command.OutOrStdout(), reference)
			}
			return err
		},
	}
	flags := command.Flags()
	flags.StringArrayVar(&folders, "folder", nil, "FOLDER:PATH, a folder and where its files are in the image, repeatable")
	flags.StringArrayVar(&binaries, "binary", nil,
		"BINARY:PATH, a static executable or the name of one of the cluster's own, and where it is in the image, repeatable")
	flags.StringToStringVar(&image.Labels, "label", nil, "NAME=VALUE, a label of the image, repeatable")
	flags.StringArrayVar(&image.Entrypoint, "entrypoint", nil, "one word of the entrypoint, repeatable")
	return command
}

// destinations reads SOURCE:PATH pairs, by path.
func destinations(pairs []string) (map[string]string, error) {
	read := map[string]string{}
	for _, pair := range pairs {
		source, at, found := strings.Cut(pair, ":")
		if !found || !filepath.IsAbs(at) {
			return nil, fmt.Errorf("%q is not SOURCE:PATH with an absolute path", pair)
		}
		read[at] = source
	}
	return read, nil
}

// registry is what push starts in the background.
func (p *program) registry() *cobra.Command {
	return &cobra.Command{
		Use:    "registry",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return cluster.Registry() },
	}
}
