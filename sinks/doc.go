// Package sinks carries bans out, one file per back end: NFTables puts them into the kernel, Writer
// prints them. Each of them is a pipeline.Sink; where the back end can say what it holds, or be changed
// by others, also a pipeline.Adopter and a pipeline.Keeper.
package sinks
