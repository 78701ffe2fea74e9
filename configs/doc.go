// Package configs is what a TOML file means. Load reads it strictly, with defaults, filters and
// conf.d merged in, and Build turns the words into a pipeline: the one place that knows that
// "nftables" is sinks.NFTables. The filters that ship are embedded here, each with the sample lines
// that prove it.
//
//	bytes ─ parse ─► values with their places ─ merge conf.d ─► decode ─► Config ─ Build ─► Pipeline
package configs
