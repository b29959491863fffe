// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"time"
)

// reportFile is one of an archive.
type reportFile struct {
	name    string
	content []byte
}

// folder is that of the archive: whoever unpacks it gets one folder.
const folder = "metricspipeline-report/"

// archive packs files as tar.gz.
func archive(files []reportFile, modified time.Time) ([]byte, error) {
	var out bytes.Buffer
	compressor := gzip.NewWriter(&out)
	writer := tar.NewWriter(compressor)
	for _, file := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: folder + file.name, Mode: 0o644, Size: int64(len(file.content)),
			ModTime: modified}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", file.name, err)
		}
		if _, err := writer.Write(file.content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", file.name, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	err := compressor.Close()
	return out.Bytes(), err
}
