sed 's/latency_eror/x/; s/^limits:/limts:/' tiny.yaml >broken.yaml
squeeze devices ./broken.yaml
