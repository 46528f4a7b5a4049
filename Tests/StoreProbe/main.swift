await StoreProbe.run()
