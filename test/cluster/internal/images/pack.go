// Package images packs static executables as container images and puts images into containerd, so that the test cluster
// needs no registry.
package images

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is who the images run as: the usual non-root user, by number because the images have no user database.
const user = "65532:65532"

// Image is a static executable to pack, or data.
type Image struct {
	// Name is the reference that manifests use, with a tag.
	Name string
	// Binary is the executable's file on this machine.
	Binary string
	// Path is where the executable is in the image.
	Path string
	// Executables are further ones, by their paths in the image.
	Executables map[string]string
	// Folders are the data of an image, with everything in them, by their paths in the image. An image of data alone has no Binary.
	Folders map[string]string
	// Scratch gives it a folder /tmp that every user may write to.
	Scratch bool
	// Entrypoint is the command; the executable alone when empty.
	Entrypoint []string
	// Labels of the image.
	Labels map[string]string
}

// Write packs the image and writes it as a docker archive. The same input gives the same bytes.
func (i Image) Write(out io.Writer) error {
	tag, err := name.NewTag(i.Name)
	if err != nil {
		return fmt.Errorf("image name %q: %w", i.Name, err)
	}
	// Without a tag, or with this one, the kubelet would want to pull the image.
	if tag.TagStr() == name.DefaultTag {
		return fmt.Errorf("image name %q needs a tag other than %s", i.Name, name.DefaultTag)
	}
	image, err := i.Pack()
	if err != nil {
		return err
	}
	if err := tarball.Write(tag, image, out); err != nil {
		return fmt.Errorf("writing image %s: %w", i.Name, err)
	}
	return nil
}

// Pack returns the image.
func (i Image) Pack() (v1.Image, error) {
	layer, err := i.layer()
	if err != nil {
		return nil, fmt.Errorf("packing image %s: %w", i.Name, err)
	}
	image, err := i.assemble(layer)
	if err != nil {
		return nil, fmt.Errorf("packing image %s: %w", i.Name, err)
	}
	return image, nil
}

// layer has everything of the image. It stays uncompressed: it never leaves this machine.
func (i Image) layer() (v1.Layer, error) {
	archive := &bytes.Buffer{}
	writer := newLayerWriter(archive)
	executables := maps.Clone(i.Executables)
	if i.Binary != "" {
		if executables == nil {
			executables = map[string]string{}
		}
		executables[i.Path] = i.Binary
	}
	for _, at := range slices.Sorted(maps.Keys(executables)) {
		content, err := os.ReadFile(executables[at])
		if err != nil {
			return nil, err
		}
		if err := checkStatic(content); err != nil {
			return nil, fmt.Errorf("%s: %w", executables[at], err)
		}
		if err := writer.file(at, 0o755, content); err != nil {
			return nil, err
		}
	}
	if i.Scratch {
		if err := writer.folder("tmp", 0o1777); err != nil {
			return nil, err
		}
	}
	for _, at := range slices.Sorted(maps.Keys(i.Folders)) {
		if err := writer.tree(at, os.DirFS(i.Folders[at])); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return static.NewLayer(archive.Bytes(), types.DockerUncompressedLayer), nil
}

// checkStatic refuses what would start here and not in an image that has nothing else.
func checkStatic(content []byte) error {
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("not a Linux executable: %w", err)
	}
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP {
			return errors.New("linked dynamically, its libraries would be missing: build it with CGO_ENABLED=0")
		}
	}
	return nil
}

func (i Image) assemble(layer v1.Layer) (v1.Image, error) {
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config.User = user
	file.Config.Entrypoint, file.Config.Labels = i.Entrypoint, i.Labels
	if len(file.Config.Entrypoint) == 0 && i.Binary != "" {
		file.Config.Entrypoint = []string{i.Path}
	}
	return mutate.ConfigFile(image, file)
}
