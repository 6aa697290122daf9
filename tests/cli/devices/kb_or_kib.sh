sed 's/ram: 2 KiB/ram: 2 KB/' tiny.yaml >broken.yaml
squeeze devices ./broken.yaml
