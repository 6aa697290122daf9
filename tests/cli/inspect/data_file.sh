squeeze inspect train.npz
