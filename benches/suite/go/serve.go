// Serves the samples of a page with client_golang, set once: `serve ADDRESS FILE`.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

func names(metric *dto.Metric) []string {
	var names []string
	for _, pair := range metric.Label {
		names = append(names, pair.GetName())
	}
	return names
}

func labels(metric *dto.Metric) prometheus.Labels {
	labels := prometheus.Labels{}
	for _, pair := range metric.Label {
		labels[pair.GetName()] = pair.GetValue()
	}
	return labels
}

func register(registry *prometheus.Registry, family *dto.MetricFamily) {
	first := names(family.Metric[0])
	switch family.GetType() {
	case dto.MetricType_COUNTER:
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: family.GetName(), Help: family.GetHelp()}, first)
		registry.MustRegister(vec)
		for _, metric := range family.Metric {
			vec.With(labels(metric)).Add(metric.GetCounter().GetValue())
		}
	case dto.MetricType_HISTOGRAM:
		vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: family.GetName(), Help: family.GetHelp(),
			Buckets: []float64{5, 10, 15, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200}}, first)
		registry.MustRegister(vec)
		for _, metric := range family.Metric {
			vec.With(labels(metric)).Observe(metric.GetHistogram().GetSampleSum())
		}
	default:
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: family.GetName(), Help: family.GetHelp()}, first)
		registry.MustRegister(vec)
		for _, metric := range family.Metric {
			vec.With(labels(metric)).Set(metric.GetGauge().GetValue() + metric.GetUntyped().GetValue())
		}
	}
}

func main() {
	page, err := os.Open(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	families, err := (&expfmt.TextParser{}).TextToMetricFamilies(page)
	if err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	for _, family := range families {
		register(registry, family)
	}
	families = nil
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
