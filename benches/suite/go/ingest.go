// Reads a report with encoding/json, once to be warm and once to be measured: `ingest FILE`.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"syscall"
)

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

func cpu() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func read(whole []byte) int {
	var document struct {
		Data []row `json:"data"`
	}
	if err := json.Unmarshal(whole, &document); err != nil {
		log.Fatal(err)
	}
	return len(document.Data)
}

func main() {
	whole, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	read(whole)
	began := cpu()
	rows := read(whole)
	fmt.Printf("{\"cpu_ns\":%d,\"rows\":%d}\n", cpu()-began, rows)
}
