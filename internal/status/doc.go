// SPDX-License-Identifier: MIT

// Package status shows what the stores of this process hold: one table of figures
// (figures.go) for Telegraf's selfstat, for Prometheus and in JSON, and a small HTTP
// server with
//
//	/metrics     the figures for Prometheus
//	/healthz     200, or 503 and one line of words why
//	/api/status  everything, in JSON: see the package api
//	/            a page with the same, without outside resources
//
// It only reads. Nothing of it runs without status_address, and the files of a store
// (files.go) are looked at only while somebody asks for the last two.
package status
