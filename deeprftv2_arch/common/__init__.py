"""What all rooms share: images, LMDBs, files written whole, parallel work; needs neither PyTorch nor BasicSR."""
