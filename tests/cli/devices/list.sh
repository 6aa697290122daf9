squeeze devices
