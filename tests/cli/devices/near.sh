squeeze devices cortex-m8
