squeeze devices ./tiny.yaml
