squeeze prepare idx.yaml
