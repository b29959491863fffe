package images

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// executable writes a file that passes for a Linux executable.
func executable(t *testing.T) string {
	t.Helper()
	return writeELF(t, elf.PT_LOAD)
}

// writeELF writes a file that has nothing but the headers of an executable with these segments.
func writeELF(t *testing.T, segments ...elf.ProgType) string {
	t.Helper()
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{
			0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT),
		},
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(segments)),
	}
	var content bytes.Buffer
	if err := binary.Write(&content, binary.LittleEndian, header); err != nil {
		t.Fatal(err)
	}
	for _, segment := range segments {
		if err := binary.Write(&content, binary.LittleEndian, elf.Prog64{Type: uint32(segment)}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(path, content.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWritePacksARunnableImage(t *testing.T) {
	var archive bytes.Buffer
	image := Image{Name: "example.test/app:dev", Binary: executable(t), Path: "/usr/bin/app"}
	if err := image.Write(&archive); err != nil {
		t.Fatal(err)
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }
	manifest, err := tarball.LoadManifest(opener)
	if err != nil {
		t.Fatal(err)
	}
	if got := manifest[0].RepoTags; !slices.Equal(got, []string{"example.test/app:dev"}) {
		t.Errorf("tags are %v", got)
	}
	read, err := tarball.Image(opener, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := read.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Config; got.User != user || !slices.Equal(got.Entrypoint, []string{"/usr/bin/app"}) {
		t.Errorf("user %s, entrypoint %v", got.User, got.Entrypoint)
	}
	if config.OS != "linux" || config.Architecture == "" {
		t.Errorf("platform is %s/%s: the kubelet would not run it", config.OS, config.Architecture)
	}
	layers, err := read.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v; want one", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"usr/ 755", "usr/bin/ 755", "usr/bin/app 755"}
	if got := list(t, content); !slices.Equal(got, want) {
		t.Errorf("the layer has %v, want %v", got, want)
	}
}

func TestWriteGivesTheSameBytesAgain(t *testing.T) {
	image := Image{Name: "example.test/app:dev", Binary: executable(t), Path: "/app", Entrypoint: []string{"/app", "serve"}}
	var first, second bytes.Buffer
	if err := errors.Join(image.Write(&first), image.Write(&second)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two archives of the same image differ")
	}
}

func TestPackTakesFoldersAndFurtherExecutables(t *testing.T) {
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "nested"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.yaml", "nested/b.yaml"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packed, err := Image{
		Name: "data:dev", Scratch: true,
		Folders: map[string]string{"/data": folder}, Executables: map[string]string{"/bin/app": executable(t)},
	}.Pack()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := packed.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v; want one", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bin/ 755", "bin/app 755", "tmp/ 777", "data/ 755", "data/a.yaml 644", "data/nested/ 755", "data/nested/b.yaml 644",
	}
	if got := list(t, content); !slices.Equal(got, want) {
		t.Errorf("the layer has %v, want %v", got, want)
	}
}

func TestWriteSaysWhatIsWrong(t *testing.T) {
	app := executable(t)
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		image Image
		want  string
	}{
		{Image{Name: "app", Binary: app, Path: "/app"}, "needs a tag"},
		{Image{Name: "app:latest", Binary: app, Path: "/app"}, "needs a tag"},
		{Image{Name: "App:dev", Binary: app, Path: "/app"}, `image name "App:dev"`},
		{Image{Name: "app:dev", Binary: app, Path: "app"}, "must be absolute"},
		{Image{Name: "app:dev", Binary: script, Path: "/app"}, "not a Linux executable"},
		{Image{Name: "app:dev", Binary: writeELF(t, elf.PT_LOAD, elf.PT_INTERP), Path: "/app"}, "build it with CGO_ENABLED=0"},
		{Image{Name: "app:dev", Binary: app + "-gone", Path: "/app"}, "no such file"},
	} {
		err := test.image.Write(io.Discard)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v, want one with %q", test.image, err, test.want)
		}
	}
}

// list names the entries of an archive with their modes.
func list(t *testing.T, archive io.Reader) []string {
	t.Helper()
	var entries []string
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		mode := header.FileInfo().Mode().Perm()
		entries = append(entries, header.Name+" "+strings.TrimPrefix(modeString(uint32(mode)), "0"))
	}
}

func modeString(mode uint32) string {
	return string([]byte{byte('0' + mode>>6&7), byte('0' + mode>>3&7), byte('0' + mode&7)})
}
