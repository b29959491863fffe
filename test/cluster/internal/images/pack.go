// Package images packs static executables as container images and puts images into containerd, so that the test cluster
// needs no registry.
package images

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"
	"time"

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

// Image is a static executable to pack.
type Image struct {
	// Name is the reference that manifests use, with a tag.
	Name string
	// Binary is the executable's file on this machine.
	Binary string
	// Path is where the executable is in the image.
	Path string
	// Entrypoint is the command; the executable alone when empty.
	Entrypoint []string
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
	if !path.IsAbs(i.Path) {
		return fmt.Errorf("image %s: path %q of the executable must be absolute", i.Name, i.Path)
	}
	layer, err := i.layer()
	if err != nil {
		return fmt.Errorf("packing image %s: %w", i.Name, err)
	}
	image, err := i.assemble(layer)
	if err != nil {
		return fmt.Errorf("packing image %s: %w", i.Name, err)
	}
	if err := tarball.Write(tag, image, out); err != nil {
		return fmt.Errorf("writing image %s: %w", i.Name, err)
	}
	return nil
}

// layer has the executable and the folders above it. It stays uncompressed: it never leaves this machine.
func (i Image) layer() (v1.Layer, error) {
	content, err := os.ReadFile(i.Binary)
	if err != nil {
		return nil, err
	}
	if err := checkStatic(content); err != nil {
		return nil, fmt.Errorf("%s: %w", i.Binary, err)
	}
	archive := bytes.NewBuffer(make([]byte, 0, len(content)+8192))
	writer := tar.NewWriter(archive)
	epoch := time.Unix(0, 0)
	file := strings.TrimPrefix(path.Clean(i.Path), "/")
	for at, letter := range file {
		if letter == '/' {
			header := &tar.Header{Typeflag: tar.TypeDir, Name: file[:at+1], Mode: 0o755, ModTime: epoch}
			if err := writer.WriteHeader(header); err != nil {
				return nil, err
			}
		}
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: file, Mode: 0o755, Size: int64(len(content)), ModTime: epoch}
	if err := writer.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := writer.Write(content); err != nil {
		return nil, err
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
	file.Config.Entrypoint = i.Entrypoint
	if len(file.Config.Entrypoint) == 0 {
		file.Config.Entrypoint = []string{i.Path}
	}
	return mutate.ConfigFile(image, file)
}
