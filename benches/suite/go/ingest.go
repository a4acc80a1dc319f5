// Reads a report with encoding/json, once to be warm and once to be measured: `ingest whole|stream FILE`.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"syscall"
	"time"
)

// For `whole`: strings, in one list.
type row struct {
	UserID    string  `json:"userId"`
	UserName  string  `json:"userName"`
	StateName string  `json:"stateName"`
	StateID   string  `json:"stateId"`
	SkillName string  `json:"skillName"`
	Count     uint32  `json:"count"`
	DateFrom  string  `json:"dateFrom"`
	DateTo    *string `json:"dateTo"`
}

// For `stream`: one at a time and with their times, as an exporter needs them.
type timedRow struct {
	UserID    string     `json:"userId"`
	UserName  string     `json:"userName"`
	StateName string     `json:"stateName"`
	StateID   string     `json:"stateId"`
	SkillName string     `json:"skillName"`
	Count     uint32     `json:"count"`
	DateFrom  time.Time  `json:"dateFrom"`
	DateTo    *time.Time `json:"dateTo"`
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func cpu() int64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func readWhole(document []byte) int {
	var read struct {
		Data []row `json:"data"`
	}
	check(json.Unmarshal(document, &read))
	return len(read.Data)
}

func readStream(document []byte) int {
	decoder := json.NewDecoder(bytes.NewReader(document))
	for {
		token, err := decoder.Token()
		check(err)
		if token == "data" {
			break
		}
	}
	_, err := decoder.Token()
	check(err)
	rows := 0
	for decoder.More() {
		var read timedRow
		check(decoder.Decode(&read))
		rows++
	}
	return rows
}

func main() {
	read := map[string]func([]byte) int{"whole": readWhole, "stream": readStream}[os.Args[1]]
	document, err := os.ReadFile(os.Args[2])
	check(err)
	read(document)
	began := cpu()
	rows := read(document)
	fmt.Printf("{\"cpu_ns\":%d,\"rows\":%d}\n", cpu()-began, rows)
}
