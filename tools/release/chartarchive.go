// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// writeChartArchive packs the chart with the images of the release by digest: the operator's in values.yaml, the operands' in the
// templates.
func (r *release) writeChartArchive(context.Context) error {
	written, err := readFolder(filepath.Join(r.Root, chartFolder))
	if err != nil {
		return err
	}
	objects, err := kustomize(filepath.Join(r.Root, releaseConfig))
	if err != nil {
		return err
	}
	crds, templates, err := renderChart(objects)
	if err != nil {
		return err
	}
	_, imageDigest, _ := strings.Cut(r.image, "@")
	var files []file
	for _, file := range written {
		dir, name := path.Split(file.Name)
		switch {
		case dir == "crds/":
			file.Content = []byte(crds[name])
		case dir == "templates/config/":
			file.Content = []byte(templates[name])
		case file.Name == "values.yaml":
			if file.Content, err = setDigest(file.Content, imageDigest); err != nil {
				return err
			}
		}
		if len(file.Content) == 0 {
			return fmt.Errorf("%s/%s is not generated from config/ any more: run make chart and commit", chartFolder, file.Name)
		}
		file.Name = path.Join(path.Base(chartFolder), file.Name)
		files = append(files, file)
	}
	name := fmt.Sprintf("%s-%s.tgz", path.Base(chartFolder), strings.TrimPrefix(r.Version, "v"))
	return writeArchive(filepath.Join(r.dist, name), files, r.time)
}

// setDigest fills in image.digest, and leaves the comments of values.yaml as they are.
func setDigest(values []byte, digest string) ([]byte, error) {
	const unset = "\n  digest: \"\"\n"
	if bytes.Count(values, []byte(unset)) != 1 {
		return nil, errors.New("values.yaml has no image.digest: \"\"")
	}
	return bytes.Replace(values, []byte(unset), []byte("\n  digest: "+digest+"\n"), 1), nil
}

// releaseConfig is the kustomization of a release: config/default with the operands' images by digest.
const releaseConfig = "config/release"
