"""Sign-exact arithmetic: signs of affine maps, separability of signed rows."""
